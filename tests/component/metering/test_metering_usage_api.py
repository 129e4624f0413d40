"""os-simple-tenant-usage over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from skybus.bus.envelope import seal
from skybus.http import bodies
from skybus.http.routes import Api
from skybus.http.versions import VersionRange
from skybus.ids import new_id
from skybus.messages.compute import ServerCreated, ServerDeleted
from skybus.metering.usage_api import USAGE_ROUTES
from skybus.store import Store
from skybus_metering.worker import Metering
from support.front import Client, front

ADMIN = "root:p0:admin,manager,member,reader"
ALICE = "alice:p1:member,reader"
RULES = {
    "os_compute_api:os-simple-tenant-usage:show": "role:admin or (role:reader and project_id:%(project_id)s)",
    "os_compute_api:os-simple-tenant-usage:list": "role:admin",
}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATH = "/compute/v2.1/os-simple-tenant-usage"
DAY = "start=2026-03-01T12:00:00&end=2026-03-02T12:00:00"


@pytest.fixture
async def client(store: Store) -> AsyncIterator[Client]:
    versions = VersionRange(
        service="compute", lowest=(2, 1), highest=(2, 96), legacy_header="X-OpenStack-Nova-API-Version"
    )
    api = Api(name="compute", prefix="/compute/v2.1", routes=USAGE_ROUTES, error_body=bodies.compute, versions=versions)
    async with front([api], RULES, {"store": store}) as made:
        yield made


async def server(store: Store, project: str, hours: float | None, name: str = "s") -> str:
    """A server of 2 VCPUs, 512 MiB and 10 GiB that began at noon and, unless `hours` is None, ended."""
    id_ = new_id()
    began = ServerCreated(
        server_id=id_, name=name, host="h", flavor_name="m1.tiny", vcpus=2, memory_mib=512, disk_gib=10,
        launched_at=NOON,
    )  # fmt: skip
    await Metering(store).handle(seal(began, "t", project_id=project), began)
    if hours is not None:
        ended = ServerDeleted(server_id=id_, terminated_at=NOON + timedelta(hours=hours))
        await Metering(store).handle(seal(ended, "t", project_id=project), ended)
    return id_


async def get(client: Client, path: str, token: str = ADMIN, version: str = "2.1") -> Any:
    return await client.call("GET", PATH + path, token=token, headers={"OpenStack-API-Version": f"compute {version}"})


async def test_a_projects_usage_is_shown_with_its_servers(client: Client, store: Store) -> None:
    id_ = await server(store, "p1", 1.5)
    await server(store, "p2", None)
    usage = (await get(client, f"/p1?{DAY}", ALICE)).body["tenant_usage"]
    assert usage["tenant_id"] == "p1"
    assert (usage["total_hours"], usage["total_vcpus_usage"]) == (1.5, 3.0)
    assert (usage["total_memory_mb_usage"], usage["total_local_gb_usage"]) == (768.0, 15.0)
    assert (usage["start"], usage["stop"]) == ("2026-03-01T12:00:00.000000", "2026-03-02T12:00:00.000000")
    assert usage["server_usages"] == [
        {
            "instance_id": id_, "name": "s", "tenant_id": "p1", "flavor": "m1.tiny", "vcpus": 2, "memory_mb": 512,
            "local_gb": 10, "hours": 1.5, "started_at": "2026-03-01T12:00:00.000000",
            "ended_at": "2026-03-01T13:30:00.000000", "state": "terminated", "uptime": 5400,
        }
    ]  # fmt: skip
    assert (await get(client, f"/p9?{DAY}")).body == {"tenant_usage": {}}


async def test_everybodys_usage_is_the_administrators_to_see(client: Client, store: Store) -> None:
    """Security class 14: cross-tenant access."""
    await server(store, "p1", 1)
    await server(store, "p2", None)
    shown = (await get(client, f"?{DAY}")).body["tenant_usages"]
    assert [(one["tenant_id"], one["total_hours"]) for one in shown] == [("p1", 1.0), ("p2", 24.0)]
    assert "server_usages" not in shown[0]
    shown = (await get(client, f"?detailed=1&{DAY}")).body["tenant_usages"]
    assert [one["server_usages"][0]["state"] for one in shown] == ["terminated", "active"]
    for version in ("2.1", "2.40"):
        assert (await get(client, f"?{DAY}", ALICE, version)).status == 403
        assert (await get(client, f"/p2?{DAY}", ALICE, version)).status == 403


async def test_from_2_40_on_usage_comes_in_pages(client: Client, store: Store) -> None:
    ids = [await server(store, project, 1) for project in ("p1", "p1", "p1", "p2")]
    seen, href = [], f"{client.url}{PATH}?detailed=1&limit=3&{DAY}"
    hours = 0.0
    while href:
        headers = {"OpenStack-API-Version": "compute 2.40"}
        body = (await client.call("GET", href, token=ADMIN, headers=headers)).body
        seen += [one["instance_id"] for project in body["tenant_usages"] for one in project["server_usages"]]
        hours += sum(project["total_hours"] for project in body["tenant_usages"])
        href = body.get("tenant_usages_links", [{"href": None}])[0]["href"]
    assert seen == ids
    assert hours == 4.0
    body = (await get(client, f"/p1?limit=2&{DAY}", ALICE, "2.40")).body
    assert len(body["tenant_usage"]["server_usages"]) == 2
    assert body["tenant_usage_links"][0]["rel"] == "next"
    assert f"marker={ids[1]}" in body["tenant_usage_links"][0]["href"]
    old = (await get(client, f"/p1?limit=2&{DAY}", ALICE, "2.39")).body
    assert len(old["tenant_usage"]["server_usages"]) == 3
    assert "tenant_usage_links" not in old


async def test_bad_periods_markers_and_limits_are_refused(client: Client) -> None:
    for query in (
        "start=2026-03-02T12:00:00&end=2026-03-01T12:00:00",
        "start=yesterday",
        "start=2026-03-01&end=2026-03-02T00:00:00",
        f"{DAY}&marker=nonsense",
        f"{DAY}&marker={new_id()}",
        f"{DAY}&limit=-1",
        f"{DAY}&colour=red",
    ):
        answer = await get(client, f"?{query}", version="2.75")
        assert (answer.status, list(answer.body)) == (400, ["badRequest"]), query
    assert (await get(client, f"?{DAY}&colour=red", version="2.74")).status == 200
    assert (await get(client, "")).body == {"tenant_usages": []}

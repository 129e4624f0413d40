"""Hosts as administrators see them, quotas, limits, zones, versions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from skybus import clock
from skybus.compute.hosts import host_get, host_heard, hosts_silent

from .conftest import ADMIN, Compute, report_of

ADMINS_ONLY = (
    "/os-hypervisors", "/os-hypervisors/detail", "/os-services", "/os-availability-zone/detail", "/os-aggregates",
)  # fmt: skip


async def test_a_host_comes_goes_and_comes_back_as_the_same(compute: Compute) -> None:
    async def hear(**more: Any) -> Any:
        async with compute.store.transaction() as tx:
            return await host_heard(tx, report_of("host-2", **more))

    assert await hear() == "up"
    assert await hear(started=False) is None
    assert await hear(vcpus=16) == "capacity"
    first = await host_get(compute.store, "host-2")
    old = clock.now() - timedelta(hours=1)
    assert await hear(vcpus=1, taken_at=old) is None, "an older report changes nothing"
    assert (await host_get(compute.store, "host-2"))["vcpus"] == 16
    async with compute.store.transaction() as tx:
        assert await hosts_silent(tx, clock.now() + timedelta(seconds=1)) == ["host-1", "host-2"]
    assert await hear(vcpus=16, started=False) == "up"
    again = await host_get(compute.store, "host-2")
    assert (again["number"], again["hypervisor_id"]) == (first["number"], first["hypervisor_id"])
    kinds = [kind for kind in await compute.events() if "host.changed" in kind]
    assert len(kinds) == 6


async def test_hosts_are_for_administrators(compute: Compute) -> None:
    for path in ADMINS_ONLY:
        assert (await compute.call("GET", path)).status == 403, path
        assert (await compute.call("GET", path, token=ADMIN)).status == 200, path
        assert (await compute.call("GET", path, token=None)).status == 401, path


async def test_hypervisors_change_their_ids_with_2_53_and_their_amounts_go_with_2_88(compute: Compute) -> None:
    (old,) = (await compute.get("/os-hypervisors/detail", token=ADMIN, version="2.52"))["hypervisors"]
    (new,) = (await compute.get("/os-hypervisors/detail", token=ADMIN, version="2.53"))["hypervisors"]
    (lean,) = (await compute.get("/os-hypervisors/detail", token=ADMIN, version="2.88"))["hypervisors"]
    assert isinstance(old["id"], int)
    assert new["id"].count("-") == 4
    assert (new["vcpus"], new["memory_mb"]) == (8, 16_384)
    assert "vcpus" not in lean
    assert "up" in lean["uptime"]
    await compute.active()
    shown = await compute.get(f"/os-hypervisors/{new['id']}?with_servers=true", token=ADMIN)
    assert [one["name"] for one in shown["hypervisor"]["servers"]] == ["vm"]
    assert (await compute.call("GET", "/os-hypervisors/1", token=ADMIN)).status == 400
    assert (await compute.call("GET", "/os-hypervisors/x", token=ADMIN, version="2.1")).status == 404
    assert (await compute.call("GET", "/os-hypervisors/statistics", token=ADMIN, version="2.88")).status == 404
    query = "?hypervisor_hostname_pattern=nothing"
    assert (await compute.call("GET", f"/os-hypervisors{query}", token=ADMIN)).status == 404


async def test_a_service_is_disabled_and_forced_down(compute: Compute) -> None:
    (service,) = (await compute.get("/os-services", token=ADMIN))["services"]
    path = f"/os-services/{service['id']}"
    off = await compute.call("PUT", path, {"status": "disabled", "disabled_reason": "dust"}, token=ADMIN)
    assert (off.body["service"]["status"], off.body["service"]["disabled_reason"]) == ("disabled", "dust")
    zone = (await compute.get("/os-availability-zone"))["availabilityZoneInfo"][0]
    assert zone == {"zoneName": "nova", "zoneState": {"available": False}, "hosts": None}
    assert (await compute.call("PUT", path, {"status": "enabled"}, token=ADMIN)).body["service"][
        "disabled_reason"
    ] is None
    down = await compute.call("PUT", path, {"forced_down": True}, token=ADMIN)
    assert (down.body["service"]["forced_down"], down.body["service"]["state"]) == (True, "down")
    async with compute.store.transaction() as tx:
        assert await host_heard(tx, report_of("host-1", started=False)) is None, "a report does not lift it"
    assert (await compute.call("PUT", path, {"forced_down": False}, token=ADMIN)).body["service"]["state"] == "up"
    assert (await compute.call("PUT", path, {}, token=ADMIN)).status == 400
    assert (await compute.call("PUT", "/os-services/nothing", {"status": "enabled"}, token=ADMIN)).status == 400
    await compute.active()
    assert (await compute.call("DELETE", path, token=ADMIN)).status == 409


async def test_quotas_are_set_checked_against_use_and_reset(compute: Compute) -> None:
    await compute.active()
    path = "/os-quota-sets/p1"
    assert (await compute.get(path))["quota_set"]["instances"] == 10
    assert (await compute.call("PUT", path, {"quota_set": {"instances": 0}}, token=ADMIN)).status == 400
    forced = await compute.call("PUT", path, {"quota_set": {"instances": 0, "force": True}}, token=ADMIN)
    assert forced.body["quota_set"]["instances"] == 0
    detail = (await compute.get(f"{path}/detail"))["quota_set"]
    assert detail["instances"] == {"limit": 0, "in_use": 1, "reserved": 0}
    assert (await compute.call("PUT", path, {"quota_set": {"instances": 5}})).status == 403
    assert (await compute.call("GET", "/os-quota-sets/p2")).status == 403
    for bad in ({"instances": -2}, {"instances": "x"}, {"nonsense": 1}, {"floating_ips": 1}, {"cores": 2**31}):
        assert (await compute.call("PUT", path, {"quota_set": bad}, token=ADMIN)).status == 400
    assert (await compute.call("DELETE", path, token=ADMIN)).status == 202
    assert (await compute.get(path))["quota_set"]["instances"] == 10


async def test_a_users_quota_is_within_its_projects(compute: Compute) -> None:
    """Security class 20: no side door around a quota."""
    path = "/os-quota-sets/p1?user_id=alice"
    assert (await compute.call("PUT", path, {"quota_set": {"instances": 11}}, token=ADMIN)).status == 400
    assert (await compute.call("PUT", path, {"quota_set": {"instances": 1}}, token=ADMIN)).status == 200
    await compute.create()
    assert (await compute.call("POST", "/servers", compute.asked())).status == 403
    await compute.create(token="carol:p1:member,reader")


async def test_limits_count_what_is_owned_and_lose_names_with_the_versions(compute: Compute) -> None:
    await compute.active(flavorRef="3")
    absolute = (await compute.get("/limits"))["limits"]["absolute"]
    used = ("totalInstancesUsed", "totalCoresUsed", "totalRAMUsed")
    assert [absolute[name] for name in used] == [1, 2, 2048]
    assert "maxTotalFloatingIps" not in absolute
    old = (await compute.get("/limits", version="2.35"))["limits"]["absolute"]
    assert {"maxTotalFloatingIps", "maxImageMeta", "maxPersonality"} <= set(old)
    assert (await compute.call("GET", "/limits?tenant_id=p2")).status == 403
    assert (await compute.get("/limits?tenant_id=p1", token=ADMIN))["limits"]["absolute"]["totalCoresUsed"] == 2


async def test_versions_need_no_token_and_say_the_range(compute: Compute) -> None:
    for path in ("/compute", "/compute/", "/compute/v2.1", "/compute/v2.1/"):
        answer = await compute.client.call("GET", path, token=None)
        assert answer.status == 200, path
    assert (answer.body["version"]["min_version"], answer.body["version"]["version"]) == ("2.1", "2.96")
    versions = (await compute.client.call("GET", "/compute/", token=None)).body["versions"]
    assert [version["id"] for version in versions] == ["v2.0", "v2.1"]
    for version in versions:
        answer = await compute.client.call("GET", version["links"][0]["href"], token=None)
        assert answer.body["version"]["links"][0] == version["links"][0]


async def test_the_api_without_microversions_speaks_the_first_whatever_is_asked(compute: Compute) -> None:
    asked = {"OpenStack-API-Version": "compute 2.96"}
    answer = await compute.client.call("GET", "/compute/v2/flavors/42", headers=asked)
    assert "OpenStack-API-Version" not in answer.headers
    flavor = answer.body["flavor"]
    assert "description" not in flavor
    base = f"{compute.client.url}/compute"
    assert [link["href"] for link in flavor["links"]] == [f"{base}/v2/flavors/42", f"{base}/flavors/42"]


async def test_a_version_out_of_range_is_not_acceptable_and_the_one_spoken_is_told(compute: Compute) -> None:
    assert (await compute.call("GET", "/servers", version="2.97")).status == 406
    assert (await compute.call("GET", "/servers", version="3")).status == 400
    answer = await compute.call("GET", "/servers", version="latest")
    assert answer.headers["OpenStack-API-Version"] == "compute 2.96"
    legacy = {"X-OpenStack-Nova-API-Version": "2.10"}
    told = await compute.client.call("GET", "/compute/v2.1/servers", headers=legacy)
    assert told.headers["X-OpenStack-Nova-API-Version"] == "2.10"
    assert "OpenStack-API-Version" in told.headers["Vary"]


async def test_what_left_or_never_came_is_not_found(compute: Compute) -> None:
    for path in (
        "/os-simple-tenant-usage/",
        "/images",
        "/os-floating-ips",
        "/os-security-groups",
        "/os-networks",
        "/nonsense",
    ):
        assert (await compute.call("GET", path)).status == 404


async def test_extensions_and_empty_collections_are_there(compute: Compute) -> None:
    extensions = (await compute.get("/extensions"))["extensions"]
    assert (await compute.get("/extensions/os-keypairs"))["extension"] in extensions
    assert (await compute.call("GET", "/extensions/nothing")).status == 404
    assert await compute.get("/os-server-groups") == {"server_groups": []}

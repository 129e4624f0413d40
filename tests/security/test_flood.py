"""Security class 16: ten thousand bad requests, no two alike, leave memory and tables as they were."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog

from skybus.identity.audit.audit_journal import MOST
from skybus.ids import new_hex_id
from support.owned_cloud import OwnedCloud, owned_cloud

V3 = "/identity/v3"
WARM, FLOOD = 2_000, 10_000
AT_ONCE = 8
MOST_OBJECTS = 4_000
"""More objects than before the flood: less than one for two requests, and so nothing that grows with them."""
MOST_BYTES = 16 * 2**20
TABLES = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname = 'identity'"

Bad = tuple[str, str, dict[str, Any] | None, str | None, dict[str, str]]
"""Method, path, body, token, headers."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnedCloud]:
    """One cloud for all of it."""
    async with owned_cloud(tmp_path_factory.mktemp("flood")) as made:
        yield made


@contextmanager
def silence() -> Iterator[None]:
    """No logs, for those who capture them keep them in memory."""

    def drop(*_: Any) -> Any:
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[drop], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


def bad(cloud: OwnedCloud) -> Iterator[Bad]:
    """Bad requests without end, each with something in it that was never there before."""
    member, boss = cloud.tokens["stranger"], cloud.tokens["boss"]
    for number in itertools.count():
        new = f"{new_hex_id()}{number}"
        secret = {"methods": ["application_credential"], "application_credential": {"id": new[:32], "secret": new}}
        user = {"name": new, "domain": {"name": new}, "password": new}
        login = {"methods": ["password"], "password": {"user": user}}
        yield from (
            ("GET", f"{V3}/users", None, f"sky1.{new}", {}),
            ("GET", f"{V3}/users", None, boss[:-8] + new[-8:], {}),
            ("POST", f"{V3}/auth/tokens", {"auth": {"identity": secret}}, None, {}),
            ("POST", f"{V3}/auth/tokens", {"auth": {"identity": login}}, None, {"User-Agent": new}),
            ("POST", f"{V3}/auth/tokens", {"auth": {new: new}}, None, {"Openstack-Auth-Receipt": new}),
            ("GET", f"{V3}/{new}/{new}", None, member, {}),
            ("GET", f"{V3}/users?name__contains={new}&marker={new}&{new}={new}", None, boss, {}),
            ("PATCH", f"{V3}/users/{new}", {"user": {"name": new}}, member, {}),
            ("GET", f"{V3}/auth/tokens", None, boss, {"X-Subject-Token": f"sky1.{new}"}),
            ("GET", f"{V3}/projects/{new}/tags/{new}", None, boss, {"X-Openstack-Request-Id": new}),
            ("POST", f"{V3}/OS-OAUTH1/request_token", None, None, {"Authorization": f'OAuth oauth_nonce="{new}"'}),
            ("POST", f"{V3}/ec2tokens", {"credentials": {"access": new, "signature": new}}, boss, {}),
            ("GET", f"/compute/v2.1/servers?name={new}&marker={new}", None, member, {"OpenStack-API-Version": new}),
            ("PUT", f"/network/v2.0/ports/{new}", {"port": {new: new}}, member, {}),
        )


async def flood(cloud: OwnedCloud, requests: Iterator[Bad], count: int) -> set[int]:
    """Send so many; answer the statuses."""
    statuses: set[int] = set()

    async def some() -> None:
        for _ in range(count // AT_ONCE):
            method, path, body, token, headers = next(requests)
            answer = await cloud.client.call(method, path, body, token=token, headers=headers)
            statuses.add(answer.status)

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return statuses


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def objects() -> int:
    gc.collect()
    return len(gc.get_objects())


async def rows(cloud: OwnedCloud) -> dict[str, int]:
    store = cloud.cloud.store
    names = [name for (name,) in await store.fetch(TABLES)]
    schema_and_name = [name.replace(".", '."') + '"' for name in names]
    counts = [await store.fetchval(f"SELECT count(*) FROM {one}") for one in schema_and_name]
    return dict(zip(names, counts, strict=True))


@pytest.mark.asyncio(loop_scope="module")
async def test_ten_thousand_bad_requests_leave_nothing_behind(cloud: OwnedCloud) -> None:
    requests = bad(cloud)
    journal = cloud.identity.journal
    with silence():
        await flood(cloud, requests, WARM)
        await journal.write()
        tables, held, bytes_held = await rows(cloud), objects(), resident_bytes()
        statuses = await flood(cloud, requests, FLOOD)
        noted = len(journal._noted)
        await journal.write()
    assert statuses <= {200, 400, 401, 403, 404, 405, 406}, statuses
    assert objects() - held < MOST_OBJECTS
    assert resident_bytes() - bytes_held < MOST_BYTES
    assert 0 < noted <= 3 * (MOST + 1)
    after = await rows(cloud)
    assert after.pop("identity.audit_event") <= tables.pop("identity.audit_event") + noted
    assert after == tables

"""Whether any host has room, asked of a real database."""

from __future__ import annotations

import pytest

from skybus.ids import new_id
from skybus.placement.inventory import Stock, provider_enable, provider_heard, providers_silent
from skybus.placement.room import room_exists
from skybus.store import Store

SMALL = {"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 0}


@pytest.fixture
async def hosts(store: Store) -> None:
    async with store.transaction() as tx:
        for host, memory in (("h1", 1024), ("h2", 512)):
            stock = {"VCPU": Stock(total=2, allocation_ratio=1.5), "MEMORY_MB": Stock(total=memory)}
            await provider_heard(tx, "compute", host, stock)


@pytest.mark.usefixtures("hosts")
async def test_room_is_where_every_class_fits_on_one_host(store: Store) -> None:
    assert await room_exists(store, "compute", SMALL)
    assert await room_exists(store, "compute", {"VCPU": 3, "MEMORY_MB": 1024})
    assert not await room_exists(store, "compute", {"VCPU": 4, "MEMORY_MB": 1})
    assert not await room_exists(store, "compute", {"VCPU": 1, "MEMORY_MB": 1025})
    assert not await room_exists(store, "compute", {"VCPU": 1, "UNICORN": 1})
    assert not await room_exists(store, "volume", {})


@pytest.mark.usefixtures("hosts")
async def test_room_is_not_on_hosts_that_are_avoided_elsewhere_disabled_or_silent(store: Store) -> None:
    assert await room_exists(store, "compute", {"MEMORY_MB": 1024}, avoid=["h2"])
    assert not await room_exists(store, "compute", {"MEMORY_MB": 1024}, avoid=["h1"])
    assert await room_exists(store, "compute", SMALL, zone="nova")
    assert not await room_exists(store, "compute", SMALL, zone="moon")
    async with store.transaction() as tx:
        await provider_enable(tx, "compute", "h1", False)
    assert not await room_exists(store, "compute", {"MEMORY_MB": 1024})
    assert await room_exists(store, "compute", {})
    async with store.transaction() as tx:
        rows = await tx.fetchval("SELECT max(last_seen) + interval '1 second' FROM placement.provider")
        await providers_silent(tx, rows)
    assert not await room_exists(store, "compute", {})
    assert not await room_exists(store, "compute", SMALL, avoid=[new_id()])

"""Claims on a real database: they fit or they are not made, whoever asks at the same time."""

from __future__ import annotations

import asyncio

import pytest

from skybus.ids import new_id
from skybus.placement.claims import Claim, allocations_of, claim_drift, claim_release, claims_release, claims_take
from skybus.placement.inventory import Stock, provider_enable, provider_heard, provider_pictures, usage_by_host
from skybus.store import Store

WANTED = {"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 0}


@pytest.fixture
async def host(store: Store) -> str:
    async with store.transaction() as tx:
        stock = {
            "VCPU": Stock(total=4, allocation_ratio=2.5),
            "MEMORY_MB": Stock(total=8192),
            "DISK_GB": Stock(total=9),
        }
        assert await provider_heard(tx, "compute", "h1", stock)
    return "h1"


async def take(store: Store, consumer_id: str, host: str = "h1", **wanted: int) -> bool:
    claim = Claim(consumer_id=consumer_id, project_id="p", host=host, resources=wanted or WANTED)
    async with store.transaction() as tx:
        return bool(await claims_take(tx, "compute", [claim]))


async def test_fifty_at_once_never_get_more_than_there_is(store: Store, host: str) -> None:
    consumers = [new_id() for _ in range(50)]
    taken = await asyncio.gather(*(take(store, consumer) for consumer in consumers))
    assert sum(taken) == 10  # 4 vCPUs, promised two and a half times
    assert (await usage_by_host(store))["h1"] == {"VCPU": (4, 10), "MEMORY_MB": (8192, 5120), "DISK_GB": (9, 0)}
    assert await claim_drift(store) == []


async def test_a_claim_that_fits_in_one_class_alone_takes_nothing(store: Store, host: str) -> None:
    consumer = new_id()
    assert not await take(store, consumer, VCPU=1, MEMORY_MB=100_000)
    assert await allocations_of(store, consumer) == {}
    assert (await usage_by_host(store))["h1"]["VCPU"] == (4, 0)


async def test_several_claims_of_one_transaction_fit_together_on_a_host_or_none_of_them_is_made(
    store: Store, host: str
) -> None:
    small = Stock(total=2)
    async with store.transaction() as tx:
        await provider_heard(tx, "compute", "h2", {"VCPU": small, "MEMORY_MB": small, "DISK_GB": small})
    asked = [
        Claim(consumer_id=new_id(), project_id="p", host=at, resources={"VCPU": 1}) for at in ("h1", "h2", "h2", "h2")
    ]
    async with store.transaction() as tx:
        assert await claims_take(tx, "compute", asked) == {asked[0].consumer_id}
    async with store.transaction() as tx:
        assert await claims_take(tx, "compute", asked[1:3]) == {one.consumer_id for one in asked[1:3]}
    assert (await usage_by_host(store))["h2"]["VCPU"] == (2, 2)
    async with store.transaction() as tx:
        await claims_release(tx, [one.consumer_id for one in asked])
    assert {host: used["VCPU"][1] for host, used in (await usage_by_host(store)).items()} == {"h1": 0, "h2": 0}
    assert await claim_drift(store) == []


async def test_releasing_twice_gives_back_once(store: Store, host: str) -> None:
    first, second = new_id(), new_id()
    assert await take(store, first)
    assert await take(store, second)
    for _ in range(2):
        async with store.transaction() as tx:
            await claim_release(tx, first)
    assert (await usage_by_host(store))["h1"]["VCPU"] == (4, 1)


async def test_claims_and_releases_at_the_same_time_do_not_block_each_other(store: Store, host: str) -> None:
    consumers = [new_id() for _ in range(8)]

    async def churn(consumer: str) -> None:
        for _ in range(10):
            await take(store, consumer)
            async with store.transaction() as tx:
                await claim_release(tx, consumer)

    await asyncio.wait_for(asyncio.gather(*(churn(consumer) for consumer in consumers)), 60)
    assert (await usage_by_host(store))["h1"]["VCPU"] == (4, 0)
    assert await claim_drift(store) == []


async def test_a_host_that_is_disabled_takes_nothing(store: Store, host: str) -> None:
    async with store.transaction() as tx:
        await provider_enable(tx, "compute", host, False, "maintenance")
    assert not await take(store, new_id())
    assert [picture.enabled for picture in await provider_pictures(store)] == [False]


async def test_a_heartbeat_without_news_announces_nothing(store: Store, host: str) -> None:
    before = await store.fetchval("SELECT count(*) FROM bus.outbox")
    async with store.transaction() as tx:
        assert not await provider_heard(tx, "compute", "h1", {"VCPU": Stock(total=4, allocation_ratio=2.5)})
    assert await store.fetchval("SELECT count(*) FROM bus.outbox") == before

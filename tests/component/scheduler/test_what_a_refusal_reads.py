"""A refusal holds the scheduler's picture against the database, and reads every host anew only when they differ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from skybus.bus.envelope import ANSWERS, COMMANDS, CONDUCTOR, Post, seal
from skybus.bus.memory import MemoryBroker, MemoryTransport
from skybus.bus.message import Failed, decode
from skybus.bus.transport import Delivery, Queue, Settlement, command_queue
from skybus.ids import new_id
from skybus.messages.placement import Place
from skybus.placement.claims import Claim, claims_release, claims_take
from skybus.placement.inventory import Stock, provider_heard
from skybus.store import Store
from skybus.store.relay import Relay
from skybus_scheduler.worker import ADDRESS, Scheduler

MEMORY = {"MEMORY_MB": 1000}


class Counting(Scheduler):
    """Counts how often every host is read."""

    read_all = 0

    async def reload(self, hosts: Sequence[tuple[str, str]] | None = None) -> None:
        self.read_all += hosts is None
        await super().reload(hosts)


class Bench:
    """A scheduler, and what it answers."""

    def __init__(self, store: Store, transport: MemoryTransport) -> None:
        self.store, self.transport = store, transport
        self.scheduler = Counting(store, transport)
        self.answers: list[Delivery] = []

    async def keep(self, delivery: Delivery) -> Settlement:
        self.answers.append(delivery)
        return Settlement.DONE

    async def refused(self) -> str:
        """Order a placement that cannot be; the reason given."""
        order = Place(kind="compute", consumer_id=new_id(), project_id="p", resources=MEMORY)
        count = len(self.answers)
        envelope = seal(order, "conductor", command_id=new_id(), operation_id=new_id())
        await self.transport.publish([Post(exchange=COMMANDS, key=ADDRESS, envelope=envelope)])
        async with asyncio.timeout(10):
            while len(self.answers) == count:
                await asyncio.sleep(0.01)
        assert self.answers[-1].envelope.type == Failed.TYPE
        return decode(Failed, self.answers[-1].envelope.body).reason


@pytest.fixture
async def bench(store: Store) -> AsyncIterator[Bench]:
    async with store.transaction() as tx:
        await provider_heard(tx, "compute", "h1", {"MEMORY_MB": Stock(total=1500)})
        full = Claim(consumer_id=new_id(), project_id="p", host="h1", resources=MEMORY)
        assert await claims_take(tx, "compute", [full])
    transport = MemoryTransport(MemoryBroker())
    await transport.open()
    await transport.declare([command_queue(ADDRESS), Queue(name="answers", bindings=((ANSWERS, CONDUCTOR),))])
    made, relay = Bench(store, transport), Relay(store, transport)
    await transport.consume(Queue(name="answers"), made.keep, prefetch=4)
    await relay.start()
    await made.scheduler.start(prefetch=4)
    try:
        yield made
    finally:
        await made.scheduler.stop(2)
        await relay.stop()
        await transport.close()


async def test_refusals_that_the_database_agrees_with_read_no_host(bench: Bench) -> None:
    for _ in range(3):
        assert "memory removed 1" in await bench.refused()
    assert bench.scheduler.read_all == 1, "once, when it started"


async def test_a_picture_that_is_older_than_the_database_is_read_anew(bench: Bench) -> None:
    assert "memory removed 1" in await bench.refused()
    silent = await bench.store.fetchval("SELECT consumer_id FROM placement.allocation")
    async with bench.store.transaction() as tx:
        await claims_release(tx, [silent])
        tx.posts.clear()  # the event that tells of it never comes
    order = Place(kind="compute", consumer_id=new_id(), project_id="p", resources=MEMORY)
    wanted = seal(order, "conductor", command_id=new_id(), operation_id=new_id())
    await bench.transport.publish([Post(exchange=COMMANDS, key=ADDRESS, envelope=wanted)])
    async with asyncio.timeout(10):
        # What was chosen in between counts as used until its claim has come to nothing.
        while bench.scheduler.read_all < 2 or bench.scheduler.tables["compute"].free[0, 1] != 1500:
            await asyncio.sleep(0.01)

"""The outbox, the relay and the event log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from skybus.bus.envelope import EVENTS, Post
from skybus.bus.memory import MemoryBroker, MemoryTransport
from skybus.bus.transport import BusError, Delivery, Queue, Settlement
from skybus.messages.compute import HostChanged, StartGuest
from skybus.store import Store
from skybus.store.relay import Relay
from skybus.store.tail import LoggedEvent, Tail


class Flaky(MemoryTransport):
    """Breaks off as often as told, after it has sent."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.breaks = 0

    async def publish(self, posts: Sequence[Post]) -> None:
        await super().publish(posts)
        if self.breaks:
            self.breaks -= 1
            raise BusError("the confirm was lost")


@pytest.fixture
async def transport() -> AsyncIterator[Flaky]:
    made = Flaky(MemoryBroker())
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def heard(transport: Flaky) -> list[Delivery]:
    got: list[Delivery] = []

    async def keep(delivery: Delivery) -> Settlement:
        got.append(delivery)
        return Settlement.DONE

    await transport.consume(Queue(name="all", bindings=((EVENTS, "#"),)), keep, prefetch=100)
    return got


async def announce(store: Store, host: str) -> None:
    async with store.transaction() as tx:
        tx.publish(HostChanged(host=host, change="up"))


async def test_what_is_rolled_back_is_never_published(store: Store, transport: Flaky, heard: list[Delivery]) -> None:
    async def change_my_mind() -> None:
        async with store.transaction() as tx:
            tx.publish(HostChanged(host="h1", change="up"))
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError, match="changed my mind"):
        await change_my_mind()
    await Relay(store, transport).drain()
    assert heard == []
    assert await store.fetchval("SELECT count(*) FROM bus.event") == 0


async def test_events_are_numbered_without_gaps_whoever_relays_them(
    store: Store, transport: Flaky, heard: list[Delivery]
) -> None:
    relays = [Relay(store, transport) for _ in range(3)]
    await asyncio.gather(*(announce(store, f"h{number}") for number in range(60)))
    await asyncio.gather(*(relay.drain() for relay in relays))
    for relay in relays:
        await relay.drain()
    await asyncio.sleep(0)
    assert sorted(delivery.envelope.position or 0 for delivery in heard) == list(range(1, 61))
    rows = await store.fetch("SELECT position FROM bus.event ORDER BY position")
    assert [row["position"] for row in rows] == list(range(1, 61))
    assert await store.fetchval("SELECT count(*) FROM bus.outbox") == 0


async def test_a_lost_confirm_sends_the_same_message_again_under_the_same_number(
    store: Store, transport: Flaky, heard: list[Delivery]
) -> None:
    transport.breaks = 1
    await announce(store, "h1")
    relay = Relay(store, transport)
    with pytest.raises(BusError):
        await relay.drain()
    await announce(store, "h2")
    await relay.drain()
    await asyncio.sleep(0)
    assert [(one.envelope.id, one.envelope.position) for one in heard].count(
        (heard[0].envelope.id, heard[0].envelope.position)
    ) == 2
    assert {one.envelope.position for one in heard} == {1, 2}


async def test_a_command_to_nobody_does_not_hold_up_the_others(
    store: Store, transport: Flaky, heard: list[Delivery]
) -> None:
    async with store.transaction() as tx:
        tx.send("compute.nowhere", StartGuest(server_id="s1"), command_id="c1")
        tx.publish(HostChanged(host="h1", change="up"))
    await Relay(store, transport).drain()
    await asyncio.sleep(0)
    assert len(heard) == 1
    assert await store.fetchval("SELECT count(*) FROM bus.outbox") == 0


async def test_a_relay_is_woken_by_the_commit_of_another_process(
    store: Store, transport: Flaky, heard: list[Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skybus.store.relay.SWEEP_SECONDS", 60.0)
    relay = Relay(store, transport)
    await relay.start()
    store.on_owed = None  # as in a process that has no relay of its own
    try:
        await announce(store, "h1")
        async with asyncio.timeout(20):  # sooner than the sweep
            while not heard:
                await asyncio.sleep(0.01)
    finally:
        await relay.stop()


async def test_the_tail_hands_on_every_event_once_in_order(store: Store, transport: Flaky) -> None:
    tail, relay = Tail(store), Relay(store, transport)
    got: list[LoggedEvent] = []
    await tail.start()
    await relay.start()
    tail.follow(got.append, "skybus.compute.%")
    try:
        await asyncio.gather(*(announce(store, f"h{number}") for number in range(40)))
        async with asyncio.timeout(10):
            while len(got) < 40:
                await asyncio.sleep(0.01)
    finally:
        await relay.stop()
        await tail.stop()
    assert [event.position for event in got] == list(range(1, 41))
    assert got[0].body["change"] == "up"

"""What the events amount to, however they arrive."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skybus.bus.envelope import EVENTS, Post, seal
from skybus.bus.memory import MemoryBroker, MemoryTransport
from skybus.bus.message import Event
from skybus.ids import new_hex_id, new_id
from skybus.messages.compute import ServerCreated, ServerDeleted, ServerUpdated
from skybus.messages.volume import VolumeCreated, VolumeDeleted
from skybus.metering.usage import ServerUsage, VolumeUsage, server_usage, volume_usage
from skybus.store import Store
from skybus_metering.worker import EVENTS_QUEUE, Metering

ZERO = datetime(2026, 3, 1, tzinfo=UTC)
MICRO = timedelta(microseconds=1)


@dataclass(frozen=True)
class Thing:
    """A server or a volume as the model sees it: times in microseconds behind ZERO."""

    server: bool
    project: int
    size: int
    begin: int | None
    end: int | None


things = st.lists(
    st.builds(
        Thing,
        server=st.booleans(),
        project=st.integers(0, 1),
        size=st.integers(0, 4),
        begin=st.none() | st.integers(0, 10),
        end=st.none() | st.integers(0, 10),
    ),
    max_size=5,
)


def created(thing: Thing, id_: str, at: datetime) -> Event:
    if not thing.server:
        return VolumeCreated(volume_id=id_, name="v", host="h", size_gib=thing.size, volume_type="fast", created_at=at)
    return ServerCreated(
        server_id=id_, name="s", host="h", flavor_name="f", vcpus=thing.size, memory_mib=thing.size * 7,
        disk_gib=thing.size * 3, launched_at=at,
    )  # fmt: skip


def told(thing: Thing, id_: str) -> list[Event]:
    events: list[Event] = []
    if thing.begin is not None:
        events.append(created(thing, id_, ZERO + thing.begin * MICRO))
    if thing.end is not None:
        at = ZERO + thing.end * MICRO
        gone = ServerDeleted(server_id=id_, terminated_at=at) if thing.server else None
        events.append(gone or VolumeDeleted(volume_id=id_, deleted_at=at))
    return events


def within(thing: Thing, start: int, end: int) -> int | None:
    """Microseconds of a thing in the period, counted one by one; None when it is not in it at all."""
    if thing.begin is None or thing.begin >= end or (thing.end is not None and thing.end <= start):
        return None
    return sum(thing.begin <= moment < (99 if thing.end is None else thing.end) for moment in range(start, end))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(things, st.integers(0, 9), st.integers(1, 6), st.randoms(use_true_random=False))
async def test_any_order_and_repetition_of_events_gives_the_sums_of_an_independent_model(
    store: Store, population: list[Thing], start: int, length: int, random: Any
) -> None:
    end = start + length
    projects = [new_hex_id(), new_hex_id()]
    deliveries = []
    for thing in population:
        for event in told(thing, new_id()):
            envelope = seal(event, "test", project_id=projects[thing.project])
            deliveries += [(envelope, event)] * random.randint(1, 3)
    random.shuffle(deliveries)
    metering = Metering(store)
    for envelope, event in deliveries:
        await metering.handle(envelope, event)
    for number, project in enumerate(projects):
        mine = [(thing, within(thing, start, end)) for thing in population if thing.project == number]
        shares = [(thing, us) for thing, us in mine if us is not None]
        servers = [(thing.size, us) for thing, us in shares if thing.server]
        volumes = [(thing.size, us) for thing, us in shares if not thing.server]
        period = (ZERO + start * MICRO, ZERO + end * MICRO, project)
        expected = ServerUsage(
            servers=len(servers),
            server_us=sum(us for _, us in servers),
            vcpu_us=sum(size * us for size, us in servers),
            memory_mib_us=sum(7 * size * us for size, us in servers),
            disk_gib_us=sum(3 * size * us for size, us in servers),
        )
        assert await server_usage(store, *period) == ({project: expected} if servers else {})
        amount = VolumeUsage(volume_us=sum(us for _, us in volumes), gib_us=sum(size * us for size, us in volumes))
        assert await volume_usage(store, *period) == ({(project, "fast"): amount} if volumes else {})


async def test_of_several_tellings_of_one_beginning_the_earliest_counts_in_any_order(store: Store) -> None:
    thing = Thing(server=True, project=0, size=2, begin=0, end=None)
    for order in ((0, 5), (5, 0)):
        id_, project = new_id(), new_hex_id()
        for late in order:
            event = created(thing, id_, ZERO + late * MICRO)
            await Metering(store).handle(seal(event, "test", project_id=project), event)
        usage = await server_usage(store, ZERO, ZERO + 10 * MICRO, project)
        assert usage[project].server_us == 10


async def test_events_on_the_bus_are_metered_also_those_from_while_no_worker_ran(store: Store) -> None:
    transport = MemoryTransport(MemoryBroker(delivery_limit=5), "skybus")
    await transport.open()
    await transport.declare([EVENTS_QUEUE])
    project, id_ = new_hex_id(), new_id()
    thing = Thing(server=True, project=0, size=1, begin=0, end=None)
    try:
        for event in (
            created(thing, id_, ZERO),
            ServerUpdated(server_id=id_, changed=["name"]),
            ServerDeleted(server_id=id_, terminated_at=ZERO + timedelta(seconds=3, microseconds=1)),
        ):
            metering = Metering(store)
            await transport.publish(
                [Post(exchange=EVENTS, key=event.TYPE, envelope=seal(event, "t", project_id=project))]
            )
            await metering.start(transport, prefetch=8)
            await until(lambda: nothing_waits(transport))
            await metering.stop(5)
        usage = await server_usage(store, ZERO, ZERO + timedelta(days=1), project)
        assert usage[project].server_us == 3_000_001
    finally:
        await transport.close()


async def nothing_waits(transport: MemoryTransport) -> bool:
    return await transport.depth(EVENTS_QUEUE.name) == 0


async def until(condition: Any, seconds: float = 10.0) -> None:
    """Wait for a condition with a bound."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)

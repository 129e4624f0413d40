"""A broker that has lost everything gets it again: its queues, the orders that were in them, the events."""

from __future__ import annotations

from datetime import timedelta

from skybus import clock
from skybus.bus.memory import MemoryBroker, MemoryTransport
from skybus.bus.message import Event
from skybus.ids import new_id
from skybus.messages.compute import HostChanged, ServerDeleted
from skybus.store import Store
from skybus.store.relay import Relay
from skybus_conductor.topology import Topology

OPERATION = """
INSERT INTO saga.operation (id, kind, project_id, user_id, request_id, resource_type, resource_id, exclusive, state,
                            step, attempt, deadline, created_at, updated_at)
VALUES ($1, 'server_create', 'p', 'u', 'r', 'server', $2, true, $3, 2, $4, $5, now(), now())
"""
REPORT = "INSERT INTO conductor.host_report VALUES ('volume', 'h7', '{}', now())"


async def test_an_empty_broker_gets_its_queues_and_one_that_has_them_is_left_alone(store: Store) -> None:
    broker = MemoryBroker()
    topology = Topology(store, lambda: MemoryTransport(broker))
    await store.execute(REPORT)
    assert await topology.ensure()
    transport = MemoryTransport(broker)
    await transport.open()
    for name in ("skybus.answers", "skybus.reports", "skybus.dead", "skybus.metering", "skybus.command.volume.h7"):
        assert await transport.depth(name) == 0, name
    assert not await topology.ensure()


async def test_an_order_that_was_lost_is_given_again_at_once_and_its_attempt_does_not_count(store: Store) -> None:
    now = clock.now()
    for server, state, attempt, deadline in (
        ("lost", "running", 3, now + timedelta(minutes=5)),
        ("overdue", "undoing", 2, now - timedelta(minutes=5)),
        ("over", "failed", 3, None),
    ):
        async with store.transaction() as tx:
            await tx.execute(OPERATION, new_id(), server, state, attempt, deadline)
    await Topology(store, lambda: MemoryTransport(MemoryBroker())).ensure()
    rows = {row["resource_id"]: row for row in await store.fetch("SELECT * FROM saga.operation")}
    assert (rows["lost"]["attempt"], rows["lost"]["deadline"] <= clock.now()) == (2, True)
    assert (rows["overdue"]["attempt"], rows["overdue"]["deadline"]) == (2, now - timedelta(minutes=5))
    assert (rows["over"]["attempt"], rows["over"]["deadline"]) == (3, None)


async def test_events_that_metering_may_have_missed_are_told_again_under_their_numbers(store: Store) -> None:
    told: tuple[Event, ...] = (
        ServerDeleted(server_id="s1", terminated_at=clock.now()),
        HostChanged(host="h1", change="up"),
    )
    async with store.transaction() as tx:
        for event in told:
            tx.publish(event)
    broker = MemoryBroker()
    first = MemoryTransport(broker)
    await first.open()
    relay = Relay(store, first)
    await relay.drain()
    await Topology(store, lambda: MemoryTransport(broker)).ensure()
    rows = await store.fetch("SELECT type, subject, position FROM bus.outbox")
    assert [tuple(row) for row in rows] == [(ServerDeleted.TYPE, "s1", 1)]
    await relay.drain()
    assert await first.depth("skybus.metering") == 1
    assert await store.fetchval("SELECT count(*) FROM bus.event") == 2

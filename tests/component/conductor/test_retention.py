"""What is over is forgotten in time, by sweeps that the configuration can switch off one by one."""

from __future__ import annotations

from datetime import timedelta

from skybus import clock
from skybus.config import Retention
from skybus.identity.audit.audit_events import AuditEvent, audit_events_insert
from skybus.identity.auth.revocations import KEEP, revoke
from skybus.ids import new_id
from skybus.store import Store
from skybus_conductor.retention import retention_sweeps

OPERATION = """
INSERT INTO saga.operation (id, kind, project_id, user_id, request_id, resource_type, resource_id, exclusive, state,
                            created_at, updated_at, finished_at)
VALUES ($1, 'k', 'p', 'u', 'r', 'thing', $1::uuid::text, true, 'done', $2, $2, $2)
"""
EVENT = "INSERT INTO bus.event VALUES ($1, 'i', 't', 's', 'x', '', '', '', '', $2, '{}')"


async def _counts(store: Store) -> dict[str, int]:
    tables = ("saga.operation", "bus.event", "identity.audit_event", "identity.revocation")
    return {table: int(await store.fetchval(f"SELECT count(*) FROM {table}")) for table in tables}


async def _old(store: Store) -> None:
    """Two of each thing, one of them 40 days old."""
    try:
        for number, days in enumerate((40, 0), 1):
            moment = clock.now() - timedelta(days=days)
            clock.use(lambda moment=moment: moment)
            async with store.transaction() as tx:
                await tx.execute(OPERATION, new_id(), moment)
                await tx.execute(EVENT, number, moment)
                who = {"target_type": "user", "target_id": "u", "request": "DELETE /x", "request_id": "r"}
                await audit_events_insert(tx, [AuditEvent(action="a", outcome="success", **who)])
            clock.use(None)
        async with store.transaction() as tx:
            await revoke(tx, {"user_id": "u"})
    finally:
        clock.use(None)


async def _swept(store: Store, kept: Retention) -> dict[str, int]:
    for sweep in retention_sweeps(kept):
        async with store.transaction() as tx:
            await sweep.look(tx)
    return await _counts(store)


async def test_what_is_older_than_its_age_goes_and_what_is_younger_stays(store: Store) -> None:
    await _old(store)
    left = {"saga.operation": 1, "bus.event": 2, "identity.audit_event": 2, "identity.revocation": 1}
    kept = Retention(operations_days=30, events_days=90, dead_letters_days=30)
    assert await _swept(store, kept) == left
    kept = Retention(operations_days=30, events_days=30, audit_days=30, dead_letters_days=30)
    assert await _swept(store, kept) == {**left, "bus.event": 1, "identity.audit_event": 1}


async def test_an_age_of_zero_keeps_for_ever(store: Store) -> None:
    await _old(store)
    before = await _counts(store)
    kept = Retention(operations_days=0, events_days=0, audit_days=0, dead_letters_days=0)
    assert await _swept(store, kept) == before


async def test_revocations_go_when_no_token_can_be_left_that_they_concern(store: Store) -> None:
    await _old(store)
    later = clock.now() + KEEP + timedelta(days=1)
    clock.use(lambda: later)
    try:
        assert (await _swept(store, Retention()))["identity.revocation"] == 0
    finally:
        clock.use(None)

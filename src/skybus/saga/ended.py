"""Operations that have ended: those that are parked as failed are looked at by somebody, those that waited for one that
is over are begun, and all are forgotten in time.

A parked operation is one whose undo would not work. An operator has its undo tried again, or acknowledges that what it
left was seen to in another way.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import asyncpg

from skybus import clock
from skybus.errors import BadRequest, Conflict, NotFound
from skybus.ids import first_id_at, is_uuid
from skybus.messages.operations import OperationAcknowledged, OperationRetried
from skybus.saga.operations import COLUMNS, Operation, operations_next
from skybus.store import Store, Tx

MAX_REASON = 1000

LOCK = f"SELECT {COLUMNS} FROM saga.operation WHERE id = $1 FOR UPDATE"
PARKED = """
SELECT o.id, o.kind, o.resource_type, o.resource_id, o.error, o.finished_at, a.reason AS acknowledged, a.acknowledged_at
  FROM saga.operation o LEFT JOIN saga.acknowledgement a ON a.operation_id = o.id
 WHERE o.state = 'failed' AND ($1 OR a.operation_id IS NULL) ORDER BY o.id LIMIT $2
"""
PARKED_COUNT = """
SELECT count(*) FROM saga.operation o
 WHERE o.state = 'failed' AND NOT EXISTS (SELECT FROM saga.acknowledgement a WHERE a.operation_id = o.id)
"""
PARKED_ON = """
SELECT o.id FROM saga.operation o
 WHERE o.resource_type = $1 AND o.resource_id = $2 AND o.state = 'failed'
   AND NOT EXISTS (SELECT FROM saga.acknowledgement a WHERE a.operation_id = o.id)
 ORDER BY o.id LIMIT 1
"""
ACKNOWLEDGEMENT = "SELECT reason, acknowledged_at FROM saga.acknowledgement WHERE operation_id = $1"
ACKNOWLEDGE = """
INSERT INTO saga.acknowledgement (operation_id, reason, acknowledged_at) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING RETURNING operation_id
"""
RETRY = """
UPDATE saga.operation
   SET state = 'undoing', attempt = 0, awaiting = '{}', error = error - 'undo' - 'step', deadline = $2, updated_at = $2,
       finished_at = NULL
 WHERE id = $1
"""
FORGET = """
DELETE FROM saga.operation WHERE id IN (
    SELECT o.id FROM saga.operation o LEFT JOIN saga.acknowledgement a ON a.operation_id = o.id
     WHERE o.id < $1 AND o.finished_at < $2 AND (o.state IN ('done', 'undone') OR a.acknowledged_at < $2)
     ORDER BY o.id LIMIT $3)
"""


async def operations_parked(store: Store | Tx, *, acknowledged: bool = False, limit: int = 1000) -> list[Any]:
    """Operations that are parked as failed, oldest first; those that were acknowledged are left out unless asked for.
    Rows: id, kind, resource_type, resource_id, error, finished_at, acknowledged (the reason), acknowledged_at."""
    return await store.fetch(PARKED, acknowledged, limit)


async def operations_parked_count(store: Store | Tx) -> int:
    """How many are parked as failed and wait for somebody."""
    return int(await store.fetchval(PARKED_COUNT))


async def operation_parked_on(store: Store | Tx, resource_type: str, resource_id: str) -> str | None:
    """The id of an operation that is parked as failed on a resource and waits for somebody, if there is one."""
    found = await store.fetchval(PARKED_ON, resource_type, resource_id)
    return None if found is None else str(found)


async def acknowledgement_of(store: Store | Tx, operation_id: str) -> Any:
    """Why, and when, a parked operation was acknowledged (reason, acknowledged_at), or None."""
    return await store.fetchrow(ACKNOWLEDGEMENT, operation_id)


async def operation_retry(tx: Tx, operation_id: str) -> Operation:
    """Have the undo of a parked operation tried again, from the step that would not be undone; a conductor does it at
    once. Raises NotFound, and Conflict when it is not parked, was acknowledged, or its resource is being worked on."""
    operation = await _parked(tx, operation_id)
    try:
        async with tx.conn.transaction():
            await tx.execute(RETRY, operation_id, clock.now())
    except asyncpg.UniqueViolationError:
        raise Conflict(
            f"Another operation is in progress on {operation.resource_type} {operation.resource_id}; try again later."
        ) from None
    tx.publish(OperationRetried(operation_id=operation.id, kind=operation.kind), **_whose(operation))
    return operation


async def operation_acknowledge(tx: Tx, operation_id: str, reason: str) -> Operation:
    """Note that somebody has seen to what a parked operation left, and why that is enough. Raises BadRequest without a
    reason, NotFound, and Conflict when the operation is not parked or was acknowledged before."""
    if not reason.strip() or len(reason) > MAX_REASON:
        raise BadRequest(f"An acknowledgement has a reason of at most {MAX_REASON} letters.")
    operation = await _parked(tx, operation_id)
    await tx.fetchval(ACKNOWLEDGE, operation_id, reason.strip(), clock.now())
    event = OperationAcknowledged(operation_id=operation.id, kind=operation.kind, reason=reason.strip())
    tx.publish(event, **_whose(operation))
    return operation


async def waiting_begin(tx: Tx, operation_id: str) -> None:
    """Begin an operation that waits for another one which has ended. Raises NotFound, and Conflict when it does not
    wait."""
    operation = await _locked(tx, operation_id)
    if operation.state != "waiting":
        raise Conflict(f"The operation {operation_id} does not wait; it is {operation.state}.")
    await operations_next(tx, [operation])


async def operations_forget(tx: Tx, before: datetime, limit: int) -> int:
    """Delete up to `limit` operations that ended before a moment, oldest first; answer how many. One that is parked
    stays until it was acknowledged, and as long again."""
    return _count(await tx.execute(FORGET, first_id_at(before), before, limit))


async def _locked(tx: Tx, operation_id: str) -> Operation:
    row = await tx.fetchrow(LOCK, operation_id) if is_uuid(operation_id) else None
    if row is None:
        raise NotFound(f"There is no operation {operation_id[:64]}.")
    return Operation.of(row)


async def _parked(tx: Tx, operation_id: str) -> Operation:
    operation = await _locked(tx, operation_id)
    if operation.state != "failed":
        raise Conflict(f"The operation {operation_id} is not parked as failed; it is {operation.state}.")
    known = await acknowledgement_of(tx, operation_id)
    if known is not None:
        raise Conflict(f"The operation {operation_id} was acknowledged: {known['reason']}")
    return operation


def _whose(operation: Operation) -> dict[str, str]:
    """Attributes of an event that belongs to the operation's owner and request."""
    return {"project_id": operation.project_id, "request_id": operation.request_id, "operation_id": operation.id}


def _count(tag: str) -> int:
    """The number in Postgres' command tag."""
    return int(tag.rpartition(" ")[2])

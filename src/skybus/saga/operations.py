"""The table of operations: starting, waiting for, reading and writing them."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, Literal

import asyncpg
import msgspec

from skybus import clock
from skybus.bus.context import current
from skybus.bus.message import Command
from skybus.errors import Conflict, Unavailable
from skybus.ids import derived_id, new_id
from skybus.messages.operations import BeginOperation, InterruptOperation
from skybus.saga.plans import PLANS
from skybus.store import Store, Tx

State = Literal["waiting", "running", "undoing", "done", "undone", "failed"]
ENDED = ("done", "undone", "failed")

BEGIN_SECONDS = 5.0
"""A sweep begins an operation whose first message is this late."""

COLUMNS = """id, kind, project_id, user_id, request_id, resource_type, resource_id, exclusive, state, step, attempt,
             awaiting, memo, error, deadline, created_at, updated_at, finished_at"""
RUNNING = """
SELECT id, kind FROM saga.operation
 WHERE resource_type = $1 AND resource_id = $2 AND exclusive AND state IN ('running', 'undoing')
   FOR UPDATE
"""
WAITING = "SELECT id FROM saga.operation WHERE resource_type = $1 AND resource_id = $2 AND state = 'waiting'"
INSERT = """
INSERT INTO saga.operation (id, kind, project_id, user_id, request_id, resource_type, resource_id, exclusive, state,
                            memo, deadline, created_at, updated_at, step, attempt, awaiting)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, $14, $15)
"""
LOCK = f"SELECT {COLUMNS} FROM saga.operation WHERE id = $1 FOR UPDATE"
GET = f"SELECT {COLUMNS} FROM saga.operation WHERE id = $1"
SAVE = """
UPDATE saga.operation
   SET state = $2, step = $3, attempt = $4, awaiting = $5, memo = $6, error = $7, deadline = $8, updated_at = $9,
       finished_at = $10
 WHERE id = $1
"""
NEXT = """
UPDATE saga.operation SET state = 'running', deadline = $3, updated_at = $4
 WHERE resource_type = $1 AND resource_id = $2 AND state = 'waiting'
RETURNING id, request_id, project_id
"""
DUE = """
SELECT id FROM saga.operation
 WHERE state IN ('running', 'undoing') AND deadline <= $1
 ORDER BY deadline LIMIT $2
"""
POSTPONE = """
UPDATE saga.operation SET deadline = $2 WHERE id = $1 AND deadline < $2 AND state IN ('running', 'undoing')
"""
AWAITS = """
SELECT state = 'running' AND awaiting ? $2 FROM saga.operation WHERE id = $1 FOR SHARE
"""
OF_RESOURCE = f"""
SELECT {COLUMNS} FROM saga.operation WHERE resource_type = $1 AND resource_id = $2 ORDER BY id DESC LIMIT $3
"""


class Awaited(msgspec.Struct, kw_only=True):
    """An order that is out, and its answer once it is in."""

    key: str
    to: str
    answer_type: str | None = None
    answer: Any = None


class FirstOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The order of an operation's first step, sent with the acceptance: it saves the conductor a turn.

    It must be the one that the saga's own first step gives; asked again, the step gives it anew.
    """

    to: str
    command: Command
    seconds: float = 30.0
    """Deadline of the first attempt."""


class Operation(msgspec.Struct, kw_only=True):
    """Something that was accepted and will come to an end: one row."""

    id: str
    kind: str
    project_id: str
    user_id: str
    request_id: str
    resource_type: str
    resource_id: str
    exclusive: bool
    state: State
    step: int
    attempt: int
    awaiting: dict[str, Awaited]
    memo: dict[str, Any]
    error: dict[str, Any] | None
    deadline: datetime | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, row: Any) -> Operation:
        """The operation in a row that has COLUMNS."""
        fields = dict(row)
        fields["awaiting"] = {id_: msgspec.convert(one, Awaited) for id_, one in fields["awaiting"].items()}
        return cls(**fields)


def command_id_of(operation_id: str, state: State, step: str, key: str = "") -> str:
    """The id of an order: the same each time that it is asked."""
    return derived_id(operation_id, state, step, key)


async def operation_start(
    tx: Tx,
    kind: str,
    *,
    resource_type: str,
    resource_id: str,
    memo: dict[str, Any] | None = None,
    interrupts: bool = False,
    exclusive: bool = True,
    first: FirstOrder | None = None,
) -> str:
    """Accept an operation in the caller's transaction; answer its id.

    One operation at a time works on a resource: Conflict when another does, unless this one `interrupts`: then the
    other is unwound first. The same interrupting operation asked for again is the one that is there.
    """
    state: State = "running"
    if exclusive:
        other = await tx.fetchrow(RUNNING, resource_type, resource_id)
        if other is not None:
            if not interrupts:
                raise Conflict(f"Another operation ({other['kind']}) is in progress on this {resource_type}.")
            if other["kind"] == kind:
                return str(other["id"])
            waiting = await tx.fetchval(WAITING, resource_type, resource_id)
            if waiting is not None:
                return str(waiting)
            state = "waiting"
            tx.tell_conductor(InterruptOperation(operation_id=other["id"]), operation_id=other["id"])
    return await _insert(
        tx, kind, resource_type, resource_id, memo or {}, exclusive, state, first if state == "running" else None
    )


async def _insert(
    tx: Tx,
    kind: str,
    resource_type: str,
    resource_id: str,
    memo: dict[str, Any],
    exclusive: bool,
    state: State,
    first: FirstOrder | None,
) -> str:
    context, now, operation_id = current(), clock.now(), new_id()
    deadline = now + timedelta(seconds=first.seconds if first else BEGIN_SECONDS) if state == "running" else None
    awaiting, command_id = {}, ""
    if first is not None:
        command_id = command_id_of(operation_id, "running", PLANS[kind][0])
        awaiting[command_id] = msgspec.to_builtins(Awaited(key="", to=first.to))
    try:
        await tx.execute(
            INSERT,
            operation_id,
            kind,
            context.project_id,
            context.user_id,
            context.request_id,
            resource_type,
            resource_id,
            exclusive,
            state,
            memo,
            deadline,
            now,
            0 if first else -1,
            1 if first else 0,
            awaiting,
        )
    except asyncpg.UniqueViolationError:
        raise Conflict(f"Another operation is in progress on this {resource_type}.") from None
    if first is not None:
        tx.send(first.to, first.command, command_id=command_id, operation_id=operation_id)
    elif state == "running":
        tx.tell_conductor(BeginOperation(operation_id=operation_id), operation_id=operation_id)
    return operation_id


async def operation_lock(tx: Tx, operation_id: str) -> Operation | None:
    """The operation, locked to the end of the transaction."""
    row = await tx.fetchrow(LOCK, operation_id)
    return None if row is None else Operation.of(row)


async def operation_get(store: Store | Tx, operation_id: str) -> Operation | None:
    """The operation as it is now."""
    row = await store.fetchrow(GET, operation_id)
    return None if row is None else Operation.of(row)


async def operation_awaits(tx: Tx, operation_id: str, command_id: str) -> bool:
    """Whether a command is still wanted. While the caller's transaction lasts, its operation does not turn round: so
    a command that comes late cannot do again what has been undone."""
    return bool(operation_id) and bool(await tx.fetchval(AWAITS, operation_id, command_id))


async def operations_of(store: Store | Tx, resource_type: str, resource_id: str, limit: int = 100) -> list[Operation]:
    """The operations on a resource, newest first."""
    return [Operation.of(row) for row in await store.fetch(OF_RESOURCE, resource_type, resource_id, limit)]


async def operation_save(tx: Tx, operation: Operation) -> None:
    """Write back what the engine changed."""
    operation.updated_at = clock.now()
    await tx.execute(
        SAVE,
        operation.id,
        operation.state,
        operation.step,
        operation.attempt,
        {id_: msgspec.to_builtins(one) for id_, one in operation.awaiting.items()},
        operation.memo,
        operation.error,
        operation.deadline,
        operation.updated_at,
        operation.finished_at,
    )


async def operation_next(tx: Tx, ended: Operation) -> None:
    """Begin the operation that waited for `ended`'s resource, if there is one."""
    if not ended.exclusive:
        return
    now = clock.now()
    deadline = now + timedelta(seconds=BEGIN_SECONDS)
    row = await tx.fetchrow(NEXT, ended.resource_type, ended.resource_id, deadline, now)
    if row is not None:
        tx.tell_conductor(
            BeginOperation(operation_id=row["id"]),
            operation_id=row["id"],
            request_id=row["request_id"],
            project_id=row["project_id"],
        )


async def operations_due(store: Store, limit: int = 200) -> list[str]:
    """Ids of operations whose deadline has passed, most overdue first."""
    return [row["id"] for row in await store.fetch(DUE, clock.now(), limit)]


async def operation_postpone(store: Store, operation_id: str, deadline: datetime) -> None:
    """Let an operation be due at `deadline` and no earlier."""
    async with store.transaction() as tx:
        await tx.execute(POSTPONE, operation_id, deadline)


async def operation_wait(store: Store, operation_id: str, timeout: float) -> Operation:
    """The operation once it has ended. Raises Unavailable when it has not within `timeout` seconds.

    Woken by the event log where this process follows it; a look every 50 ms otherwise.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    while True:
        operation = await operation_get(store, operation_id)
        if operation is not None and operation.state in ENDED:
            return operation
        left = end - loop.time()
        if left <= 0:
            raise Unavailable(f"The operation {operation_id} has not ended within {timeout:g} s.")
        if store.tail is None:
            await asyncio.sleep(min(0.05, left))
        else:
            await store.tail.wait_for_subject(operation_id, min(1.0, left))

"""The table of operations: starting, waiting for, reading and writing them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from skybus import clock
from skybus.bus.context import Context, current
from skybus.bus.message import Command
from skybus.errors import Conflict, Unavailable
from skybus.ids import derived_id, is_uuid, new_id
from skybus.messages.operations import BeginOperation, InterruptOperation
from skybus.saga.plans import PLANS
from skybus.store import Store, Tx

State = Literal["waiting", "running", "undoing", "done", "undone", "failed"]
ENDED = ("done", "undone", "failed")

_encoder = msgspec.json.Encoder(enc_hook=str)

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
ON CONFLICT DO NOTHING RETURNING id
"""
GET = f"SELECT {COLUMNS} FROM saga.operation WHERE id = $1"
LOCK_ALL = f"SELECT {COLUMNS} FROM saga.operation WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"
SAVE = """
UPDATE saga.operation o
   SET state = n.state, step = n.step, attempt = n.attempt, awaiting = n.awaiting::jsonb, memo = n.memo::jsonb,
       error = n.error::jsonb, deadline = n.deadline, updated_at = $9, finished_at = n.finished_at
  FROM unnest($1::uuid[], $2::text[], $3::int[], $4::int[], $5::text[], $6::text[], $7::text[], $8::timestamptz[],
              $10::timestamptz[])
       AS n (id, state, step, attempt, awaiting, memo, error, deadline, finished_at)
 WHERE o.id = n.id
"""
NEXT = """
UPDATE saga.operation o SET state = 'running', deadline = $3, updated_at = $4
  FROM unnest($1::text[], $2::text[]) AS ended (resource_type, resource_id)
 WHERE o.resource_type = ended.resource_type AND o.resource_id = ended.resource_id AND o.state = 'waiting'
RETURNING o.id, o.request_id, o.project_id
"""
DUE = """
SELECT id FROM saga.operation
 WHERE state IN ('running', 'undoing') AND deadline <= $1
 ORDER BY deadline, id LIMIT $2
"""
POSTPONE = """
UPDATE saga.operation SET deadline = $2 WHERE id = $1 AND deadline < $2 AND state IN ('running', 'undoing')
"""
AWAIT = """
SELECT o.id, asked.command_id
  FROM unnest($1::uuid[], $2::text[]) AS asked (id, command_id) JOIN saga.operation o ON o.id = asked.id
 WHERE o.state = 'running' AND o.awaiting ? asked.command_id
 ORDER BY o.id FOR NO KEY UPDATE OF o
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

    @property
    def context(self) -> Context:
        """The context of everything that is done for it: its owner's, its request's."""
        return Context(
            request_id=self.request_id, project_id=self.project_id, user_id=self.user_id, operation_id=self.id
        )

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
    if exclusive and interrupts:
        other = await tx.fetchrow(RUNNING, resource_type, resource_id)
        if other is not None:
            if other["kind"] == kind:
                return str(other["id"])
            waiting = await tx.fetchval(WAITING, resource_type, resource_id)
            if waiting is not None:
                return str(waiting)
            state = "waiting"
            tx.tell_conductor(InterruptOperation(operation_id=other["id"]), operation_id=other["id"])
    operation_id, begun = new_id(), first if state == "running" else None
    deadline = clock.now() + timedelta(seconds=begun.seconds if begun else BEGIN_SECONDS)
    awaiting, command_id = {}, ""
    if begun is not None:
        command_id = command_id_of(operation_id, "running", PLANS[kind][0])
        awaiting[command_id] = msgspec.to_builtins(Awaited(key="", to=begun.to))
    context = current()
    made = await tx.fetchval(
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
        memo or {},
        deadline if state == "running" else None,
        clock.now(),
        0 if begun else -1,
        1 if begun else 0,
        awaiting,
    )
    if made is None:
        other = await tx.fetchrow(RUNNING, resource_type, resource_id)
        named = f" ({other['kind']})" if other else ""
        raise Conflict(f"Another operation{named} is in progress on this {resource_type}.")
    if begun is not None:
        tx.send(begun.to, begun.command, command_id=command_id, operation_id=operation_id)
    elif state == "running":
        tx.tell_conductor(BeginOperation(operation_id=operation_id), operation_id=operation_id)
    return operation_id


async def operations_lock(tx: Tx, operation_ids: Iterable[str]) -> dict[str, Operation]:
    """Those of the operations that there are, by id, locked to the end of the transaction."""
    ids = [id_ for id_ in set(operation_ids) if is_uuid(id_)]
    return {row["id"]: Operation.of(row) for row in await tx.fetch(LOCK_ALL, ids)}


async def operations_await(tx: Tx, commands: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the commands, (operation id, command id), that are still wanted. While the caller's transaction lasts,
    their operations do not turn round: so a command that comes late cannot do again what has been undone. Nor does
    anybody else get leave for them: whoever has the same command finds it done."""
    asked = [(operation_id, command_id) for operation_id, command_id in commands if is_uuid(operation_id)]
    rows = await tx.fetch(AWAIT, [operation for operation, _ in asked], [command for _, command in asked])
    return {(row["id"], row["command_id"]) for row in rows}


async def operation_get(store: Store | Tx, operation_id: str) -> Operation | None:
    """The operation as it is now."""
    row = await store.fetchrow(GET, operation_id)
    return None if row is None else Operation.of(row)


async def operations_of(store: Store | Tx, resource_type: str, resource_id: str, limit: int = 100) -> list[Operation]:
    """The operations on a resource, newest first."""
    return [Operation.of(row) for row in await store.fetch(OF_RESOURCE, resource_type, resource_id, limit)]


def _json(value: Any) -> str:
    return _encoder.encode(value).decode()


async def operations_save(tx: Tx, operations: Sequence[Operation]) -> None:
    """Write back what the engine changed."""
    if not operations:
        return
    now = clock.now()
    columns = [list(column) for column in zip(*map(_saved, operations), strict=True)]
    await tx.execute(SAVE, *columns[:8], now, columns[8])
    for operation in operations:
        operation.updated_at = now


def _saved(operation: Operation) -> tuple[Any, ...]:
    return (
        operation.id,
        operation.state,
        operation.step,
        operation.attempt,
        _json(operation.awaiting),
        _json(operation.memo),
        None if operation.error is None else _json(operation.error),
        operation.deadline,
        operation.finished_at,
    )


async def operations_next(tx: Tx, ended: Sequence[Operation]) -> None:
    """Begin the operations that waited for the resources of `ended`, whose rows have been saved."""
    ended = [operation for operation in ended if operation.exclusive]
    if not ended:
        return
    now = clock.now()
    resources = [one.resource_type for one in ended], [one.resource_id for one in ended]
    begun = await tx.fetch(NEXT, *resources, now + timedelta(seconds=BEGIN_SECONDS), now)
    for row in sorted(begun, key=lambda one: str(one["id"])):
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

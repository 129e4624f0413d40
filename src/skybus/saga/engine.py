"""The engine: it takes every operation from its first step to its end, done or undone.

What happens to operations is handled in one transaction, many operations at once where much happens at once: lock their
rows, see that each answer is awaited, change what it changes, write the next orders and the events to the outbox, move
the step on. So an answer that comes twice, late or after a crash finds an operation that no longer waits for it, and
changes nothing. What becomes of an operation is decided in `turns`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

import asyncpg
import msgspec
import structlog

from skybus import clock
from skybus.bus.context import bound, owners
from skybus.bus.message import TYPES, Answer
from skybus.bus.together import Together
from skybus.errors import CloudError, Outage, Unavailable
from skybus.messages.operations import OperationEnded
from skybus.saga.operations import (
    ENDED,
    Awaited,
    Operation,
    State,
    command_id_of,
    operation_postpone,
    operations_due,
    operations_lock,
    operations_next,
    operations_save,
)
from skybus.saga.saga import Order, Saga, Step
from skybus.saga.turns import Next, Turn, answered, begin, crashed, failed, interrupted, late
from skybus.store import Store, Tx

log = structlog.get_logger()

MOST_TOGETHER = 64
"""Turns in one transaction."""
PACE_SECONDS = 0.02
"""Between two such transactions of an engine that is busy."""
UNMOVED_SECONDS = 10.0
"""Until a sweep tries again to move an operation that it could not move."""

_PASSING = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.TransactionRollbackError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresConnectionError,
    asyncpg.PostgresSystemError,
)
"""What the database's bad hours end in: no fault of the operation that met them."""

Asked = tuple[str, Turn]
"""An operation's id, and what happened to it."""


class Engine:
    """Drives operations. Any number of engines work side by side: the row's lock decides who moves it."""

    def __init__(self, store: Store, sagas: Mapping[str, Saga]) -> None:
        self.store = store
        self.sagas = sagas
        self._together = Together(self._take, most=MOST_TOGETHER, pace_seconds=PACE_SECONDS)

    async def begin(self, operation_id: str) -> None:
        """Take the first step, unless it has been taken."""
        await self._together((operation_id, begin))

    async def answered(self, operation_id: str, command_id: str, answer: Answer, *, source: str) -> None:
        """Take in an answer from `source`; one that nobody awaits, or awaits from somebody else, is left alone."""
        await self._together((operation_id, answered(command_id, answer, source)))

    async def interrupt(self, operation_id: str) -> None:
        """Unwind an operation whose resource somebody else needs. Content to find it ended."""
        await self._together((operation_id, interrupted))

    async def sweep(self) -> int:
        """Move every operation whose deadline has passed; answer how many there were. One that cannot be moved does not
        keep the others waiting: it is looked at again later, or given up when it is itself what crashes. Raises Outage
        when the database is away."""
        due = await operations_due(self.store)
        for operation_id in due:
            try:
                await self._take([(operation_id, late)])
            except Outage:
                raise
            except Exception as error:
                log.exception("operation_not_moved", operation=operation_id, reason=f"{type(error).__name__}: {error}")
                if isinstance(error, _PASSING) or getattr(error, "retry", False):
                    await operation_postpone(self.store, operation_id, clock.now() + timedelta(seconds=UNMOVED_SECONDS))
                else:
                    await self._take([(operation_id, crashed(error))])
        return len(due)

    # --- turns

    async def _take(self, batch: Sequence[Asked]) -> None:
        """Take all turns, or none when it raises. The error of a single turn that is its operation's own sends the
        operation backwards in another transaction."""
        seen: dict[str, tuple[State, int]] = {}
        try:
            await self._in_one_transaction(batch, seen)
        except CloudError as error:
            if error.retry or len(batch) > 1 or not seen:
                raise
            problem = {"code": error.code, "reason": error.reason, "details": error.details}

            def fail(op: Operation, saga: Saga) -> Next:
                if (op.state, op.step) != seen[op.id]:
                    return Next.NOTHING
                op.step = max(op.step, 0)
                # The turn that would have counted this attempt to undo was rolled back.
                op.attempt += op.state == "undoing"
                return failed(op, saga, problem)

            await self._in_one_transaction([(batch[0][0], fail)], {})

    async def _in_one_transaction(self, batch: Sequence[Asked], seen: dict[str, tuple[State, int]]) -> None:
        async with self.store.transaction() as tx:
            there = await operations_lock(tx, {id_ for id_, _ in batch})
            ops = {op.id: op for op in there.values() if op.state not in ENDED}
            seen.update({op.id: (op.state, op.step) for op in ops.values()})
            touched: dict[str, Operation] = {}
            for turns in _rounds(batch):
                groups = self._decide(turns, ops)
                touched |= {op.id: op for group in groups.values() for op in group}
                for (kind, _, _, what), group in sorted(groups.items()):
                    with owners({op.resource_id: op.context for op in group}):
                        await self._go(tx, what, self.sagas[kind], group)
            await operations_save(tx, list(touched.values()))
            # The rows have left the index of running operations before the next ones enter it.
            await operations_next(tx, [op for op in touched.values() if op.state in ENDED])

    def _decide(
        self, turns: Iterable[Asked], ops: Mapping[str, Operation]
    ) -> dict[tuple[str, State, int, Next], list[Operation]]:
        """What each turn comes to; operations that have the same way before them go it together."""
        groups: dict[tuple[str, State, int, Next], list[Operation]] = {}
        for operation_id, turn in turns:
            op = ops.get(operation_id)
            if op is None or op.state in ENDED:
                continue
            with bound(op.context):
                what = turn(op, self._saga(op))
            if what is not Next.NOTHING:
                groups.setdefault((op.kind, op.state, op.step, what), []).append(op)
        return groups

    async def _go(self, tx: Tx, what: Next, saga: Saga, ops: Sequence[Operation]) -> None:
        if what is Next.FORWARD:
            await self._forward(tx, saga, ops)
        elif what is Next.AGAIN:
            await self._again(tx, saga, ops)
        elif what is Next.OVER and ops[0].state == "running":
            await self._over(tx, saga, ops)
        elif what in (Next.OVER, Next.BACK):
            for op in ops:
                with bound(op.context):
                    await (self._over_back(tx, saga, op) if what is Next.OVER else self._back(tx, saga, op))
        elif what is Next.PARK:
            for op in ops:
                self._end(tx, op, "failed")

    def _saga(self, op: Operation) -> Saga:
        saga = self.sagas.get(op.kind)
        if saga is None:
            raise Unavailable(f"operation {op.id} is of kind {op.kind!r}, which no saga here carries out")
        return saga

    # --- forwards: operations of one saga, at one step

    async def _forward(self, tx: Tx, saga: Saga, ops: Sequence[Operation]) -> None:
        """Take steps from the present one on until they have to wait for answers, or all are taken."""
        while ops and ops[0].step < len(saga.steps):
            step = saga.steps[ops[0].step]
            idle = await self._asked(tx, step, ops)
            if idle:
                await step.applied(tx, [(op, {}) for op in idle])
            for op in idle:
                op.step, op.attempt, op.awaiting = op.step + 1, 1, {}
            ops = idle
        for op in ops:
            op.error = None
            self._end(tx, op, "done")

    async def _over(self, tx: Tx, saga: Saga, ops: Sequence[Operation]) -> None:
        """Every answer of the present step is in: change what they change, and go on."""
        await saga.steps[ops[0].step].applied(tx, [(op, _answers(op)) for op in ops])
        for op in ops:
            op.step, op.attempt, op.awaiting, op.error = op.step + 1, 1, {}, None
        await self._forward(tx, saga, ops)

    async def _again(self, tx: Tx, saga: Saga, ops: Sequence[Operation]) -> None:
        """Ask the present step again."""
        idle = await self._asked(tx, saga.steps[ops[0].step], ops)
        for op in idle:
            # What was to be asked has gone meanwhile: nothing to wait for.
            op.awaiting = {}
        await self._forward(tx, saga, idle)

    async def _asked(self, tx: Tx, step: Step, ops: Sequence[Operation]) -> list[Operation]:
        """Give the step's orders; answers those of the operations that have none to give."""
        idle = []
        for op, orders in zip(ops, await step.orders(tx, ops), strict=True):
            if orders:
                self._ask(tx, op, step, orders)
            else:
                idle.append(op)
        return idle

    def _ask(self, tx: Tx, op: Operation, step: Step, orders: Iterable[Order]) -> None:
        """Send the orders that have no answer yet; asked again, an order keeps its id."""
        awaiting = {}
        with bound(op.context):
            for order in orders:
                command_id = command_id_of(op.id, op.state, step.name, order.key)
                awaiting[command_id] = op.awaiting.get(command_id) or Awaited(key=order.key, to=order.to)
                if awaiting[command_id].answer_type is None:
                    tx.send(order.to, order.command, command_id=command_id)
        op.awaiting = awaiting
        op.deadline = clock.now() + timedelta(seconds=step.seconds)

    # --- backwards: one operation

    async def _back(self, tx: Tx, saga: Saga, op: Operation) -> None:
        while op.step >= 0:
            step = saga.steps[op.step]
            orders = [] if step.undo is None else await step.undo(tx, op)
            if orders:
                self._ask(tx, op, step, orders)
                return
            await self._undone(tx, step, op, {})
        if saga.unwound is not None:
            await saga.unwound(tx, op)
        self._end(tx, op, "undone")

    async def _over_back(self, tx: Tx, saga: Saga, op: Operation) -> None:
        """Every answer of the present undo is in."""
        await self._undone(tx, saga.steps[op.step], op, _answers(op))
        await self._back(tx, saga, op)

    async def _undone(self, tx: Tx, step: Step, op: Operation, answers: Mapping[str, Answer]) -> None:
        if step.undone is not None:
            await step.undone(tx, op, answers)
        op.step, op.attempt, op.awaiting = op.step - 1, 1, {}

    def _end(self, tx: Tx, op: Operation, state: Literal["done", "undone", "failed"]) -> None:
        op.state, op.deadline, op.finished_at, op.awaiting = state, None, clock.now(), {}
        ended = OperationEnded(
            operation_id=op.id,
            kind=op.kind,
            resource_type=op.resource_type,
            resource_id=op.resource_id,
            state=state,
            error=op.error,
        )
        with bound(op.context):
            tx.publish(ended)


def _rounds(batch: Sequence[Asked]) -> Iterable[list[Asked]]:
    """The turns in their order, each operation at most once in a round."""
    left = list(batch)
    while left:
        first: dict[str, Asked] = {}
        later = []
        for asked in left:
            if asked[0] in first:
                later.append(asked)
            else:
                first[asked[0]] = asked
        yield list(first.values())
        left = later


def _answers(op: Operation) -> dict[str, Answer]:
    return {one.key: _answer_of(one) for one in op.awaiting.values()}


def _answer_of(awaited: Awaited) -> Answer:
    kind = TYPES[awaited.answer_type or ""]
    answer: Any = msgspec.convert(awaited.answer, kind)
    assert isinstance(answer, Answer)
    return answer

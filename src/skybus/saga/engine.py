"""The engine: it takes every operation from its first step to its end, done or undone.

An answer is handled in one transaction: lock the row, see that the answer is awaited, change what it changes, write the
next orders and the events to the outbox, move the step on. So an answer that comes twice, late or after a crash finds
an operation that no longer waits for it, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import structlog

from skybus import clock
from skybus.bus.context import Context, bound
from skybus.bus.message import TYPES, Answer, Failed
from skybus.errors import CloudError, Outage, Unavailable
from skybus.messages.operations import OperationEnded
from skybus.saga.operations import (
    ENDED,
    Awaited,
    Operation,
    command_id_of,
    operation_lock,
    operation_next,
    operation_postpone,
    operation_save,
    operations_due,
)
from skybus.saga.saga import Order, Saga, Step
from skybus.store import Store, Tx

log = structlog.get_logger()

BACKOFF_SECONDS = (0.5, 60.0)
"""First and longest pause before a step that failed for now is asked again."""
UNMOVED_SECONDS = 10.0
"""Until a sweep tries again to move an operation that it could not move."""
CRASHED = "operation.crashed"
INTERRUPTED = "operation.interrupted"
TIMED_OUT = "operation.timed-out"

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

Move = Callable[[Tx, Operation, Saga], Awaitable[None]]


class Engine:
    """Drives operations. Any number of engines work side by side: the row's lock decides who moves it."""

    def __init__(self, store: Store, sagas: Mapping[str, Saga]) -> None:
        self.store = store
        self.sagas = sagas

    async def begin(self, operation_id: str) -> None:
        """Take the first step, unless it has been taken."""

        async def move(tx: Tx, op: Operation, saga: Saga) -> None:
            if op.state == "running" and op.step == -1:
                op.step, op.attempt = 0, 1
                await self._forward(tx, op, saga)

        await self._turn(operation_id, move)

    async def answered(self, operation_id: str, command_id: str, answer: Answer, *, source: str) -> None:
        """Take in an answer from `source`; one that nobody awaits, or awaits from somebody else, is left alone."""

        async def move(tx: Tx, op: Operation, saga: Saga) -> None:
            awaited = op.awaiting.get(command_id)
            if op.state not in ("running", "undoing") or awaited is None or awaited.answer_type is not None:
                log.info("answer_not_awaited", operation=op.id, state=op.state)
                return
            if awaited.to != source:
                log.error("answer_from_somebody_else", operation=op.id, to=awaited.to, source=source)
                return
            if isinstance(answer, Failed):
                await self._failed(tx, op, saga, problem_of(answer))
                return
            awaited.answer_type, awaited.answer = answer.TYPE, msgspec.to_builtins(answer)
            if any(one.answer_type is None for one in op.awaiting.values()):
                return
            await self._step_over(tx, op, saga)

        await self._turn(operation_id, move)

    async def interrupt(self, operation_id: str) -> None:
        """Unwind an operation whose resource somebody else needs. Content to find it ended."""

        async def move(tx: Tx, op: Operation, saga: Saga) -> None:
            if op.state == "running":
                reason = "Another operation on the same resource took precedence."
                await self._unwind(tx, op, saga, {"code": INTERRUPTED, "reason": reason})

        await self._turn(operation_id, move)

    async def sweep(self) -> int:
        """Move every operation whose deadline has passed; answer how many there were. One that cannot be moved does not
        keep the others waiting: it is looked at again later, or given up when it is itself what crashes. Raises Outage
        when the database is away."""
        due = await operations_due(self.store)
        for operation_id in due:
            try:
                await self._turn(operation_id, self._late)
            except Outage:
                raise
            except Exception as error:
                log.exception("operation_not_moved", operation=operation_id, reason=f"{type(error).__name__}: {error}")
                if isinstance(error, _PASSING) or getattr(error, "retry", False):
                    await operation_postpone(self.store, operation_id, clock.now() + timedelta(seconds=UNMOVED_SECONDS))
                else:
                    await self._crashed(operation_id, error)
        return len(due)

    async def _crashed(self, operation_id: str, error: Exception) -> None:
        """Count a crash as a failed attempt: in the end the operation turns round, and is parked as failed when its way
        back crashes too. Runs nothing of the saga, for that is what crashes."""
        async with self.store.transaction() as tx:
            op = await operation_lock(tx, operation_id)
            if op is None or op.state in ENDED:
                return
            op.step, op.attempt = max(op.step, 0), op.attempt + 1
            step = self._saga(op).steps[op.step]
            pause = min(BACKOFF_SECONDS[0] * 2**op.attempt, BACKOFF_SECONDS[1])
            op.deadline = clock.now() + timedelta(seconds=pause)
            problem = {
                "code": CRASHED,
                "reason": f"An error of ours ({type(error).__name__}), in step {step.name} or behind.",
            }
            with bound(context_of(op)):
                if op.state == "undoing" and op.attempt >= step.undo_attempts:
                    await self._park(tx, op, step, problem)
                    return
                op.error = problem if op.state == "running" else op.error
                if op.state == "running" and op.attempt >= step.attempts:
                    log.warning("operation_unwinds", operation=op.id, kind=op.kind, **_told(problem))
                    op.state, op.awaiting, op.attempt = "undoing", {}, 0
                await operation_save(tx, op)

    # --- one turn of one operation

    async def _turn(self, operation_id: str, move: Move) -> None:
        """Run `move` in a transaction; an error that is the operation's own sends it backwards in another one."""
        seen: dict[str, Any] = {}
        try:
            await self._locked(operation_id, move, seen)
        except CloudError as error:
            if error.retry or not seen:
                raise
            problem = {"code": error.code, "reason": error.reason, "details": error.details}

            async def fail(tx: Tx, op: Operation, saga: Saga) -> None:
                if (op.state, op.step) == (seen["state"], seen["step"]):
                    op.step = max(op.step, 0)
                    await self._failed(tx, op, saga, problem)

            await self._locked(operation_id, fail, {})

    async def _locked(self, operation_id: str, move: Move, seen: dict[str, Any]) -> None:
        async with self.store.transaction() as tx:
            op = await operation_lock(tx, operation_id)
            if op is None or op.state in ENDED:
                return
            seen.update(state=op.state, step=op.step)
            with bound(context_of(op)):
                await move(tx, op, self._saga(op))
                if op.state not in ENDED:
                    await operation_save(tx, op)

    def _saga(self, op: Operation) -> Saga:
        saga = self.sagas.get(op.kind)
        if saga is None:
            raise Unavailable(f"operation {op.id} is of kind {op.kind!r}, which no saga here carries out")
        return saga

    async def _late(self, tx: Tx, op: Operation, saga: Saga) -> None:
        if op.deadline is None or op.deadline > clock.now():
            return
        if op.step == -1:
            op.step, op.attempt = 0, 1
            await self._forward(tx, op, saga)
            return
        step = saga.steps[op.step]
        limit = step.attempts if op.state == "running" else step.undo_attempts
        if op.attempt >= limit:
            reason = f"Step {step.name} had no answer after {op.attempt} attempts."
            problem = op.error if op.state == "running" and op.error else {"code": TIMED_OUT, "reason": reason}
            await self._give_up(tx, op, saga, problem)
            return
        op.attempt += 1
        log.info("step_asked_again", operation=op.id, step=step.name, attempt=op.attempt, state=op.state)
        if op.state == "undoing":
            await self._back(tx, op, saga)
            return
        orders = await _orders(step.do, tx, op)
        if orders:
            await self._ask(tx, op, step, orders)
        else:
            # What was to be asked has gone meanwhile: nothing to wait for.
            op.awaiting = {}
            await self._forward(tx, op, saga)

    async def _failed(self, tx: Tx, op: Operation, saga: Saga, problem: dict[str, Any]) -> None:
        """A step, or an undo, said no: ask again later when that could help, else give up."""
        step = saga.steps[op.step]
        limit = step.attempts if op.state == "running" else step.undo_attempts
        again = problem.get("retry", False) or op.state == "undoing"
        if again and op.attempt < limit:
            op.error = op.error if op.state == "undoing" else problem
            pause = min(BACKOFF_SECONDS[0] * 2 ** (op.attempt - 1), BACKOFF_SECONDS[1])
            op.deadline = clock.now() + timedelta(seconds=pause)
            log.warning("step_failed_for_now", operation=op.id, step=step.name, state=op.state, **_told(problem))
            return
        await self._give_up(tx, op, saga, problem)

    async def _give_up(self, tx: Tx, op: Operation, saga: Saga, problem: dict[str, Any]) -> None:
        if op.state == "running":
            await self._unwind(tx, op, saga, problem)
            return
        await self._park(tx, op, saga.steps[op.step], problem)

    async def _park(self, tx: Tx, op: Operation, step: Step, problem: dict[str, Any]) -> None:
        """The way back does not work: somebody has to look."""
        op.error = {**(op.error or {}), "undo": problem, "step": step.name}
        log.error("undo_given_up", operation=op.id, kind=op.kind, **_told(problem))
        await self._end(tx, op, "failed")

    # --- forwards

    async def _forward(self, tx: Tx, op: Operation, saga: Saga) -> None:
        """Take steps from `op.step` on until one has to wait for answers, or all are taken."""
        while op.step < len(saga.steps):
            step = saga.steps[op.step]
            orders = await _orders(step.do, tx, op)
            if orders:
                await self._ask(tx, op, step, orders)
                return
            if step.apply is not None:
                await step.apply(tx, op, {})
            op.step, op.attempt, op.awaiting = op.step + 1, 1, {}
        op.error = None
        await self._end(tx, op, "done")

    async def _step_over(self, tx: Tx, op: Operation, saga: Saga) -> None:
        """Every answer of the present step is in: change what they change, and go on."""
        step = saga.steps[op.step]
        answers = {one.key: _answer_of(one) for one in op.awaiting.values()}
        if op.state == "running":
            if step.apply is not None:
                await step.apply(tx, op, answers)
            op.step, op.attempt, op.awaiting, op.error = op.step + 1, 1, {}, None
            await self._forward(tx, op, saga)
        else:
            if step.undone is not None:
                await step.undone(tx, op, answers)
            op.step, op.attempt, op.awaiting = op.step - 1, 1, {}
            await self._back(tx, op, saga)

    async def _ask(self, tx: Tx, op: Operation, step: Step, orders: Sequence[Order]) -> None:
        """Send the orders that have no answer yet; asked again, an order keeps its id."""
        awaiting = {}
        for order in orders:
            command_id = command_id_of(op.id, op.state, step.name, order.key)
            known = op.awaiting.get(command_id)
            awaiting[command_id] = known or Awaited(key=order.key, to=order.to)
            if awaiting[command_id].answer_type is None:
                tx.send(order.to, order.command, command_id=command_id)
        op.awaiting = awaiting
        op.deadline = clock.now() + timedelta(seconds=step.seconds)

    # --- backwards

    async def _unwind(self, tx: Tx, op: Operation, saga: Saga, problem: dict[str, Any]) -> None:
        """Turn round: undo the present step, which may have died half-way, and all before it."""
        log.warning("operation_unwinds", operation=op.id, kind=op.kind, **_told(problem))
        op.state, op.error, op.awaiting, op.attempt = "undoing", _shown(problem), {}, 1
        op.step = min(op.step, len(saga.steps) - 1)
        await self._back(tx, op, saga)

    async def _back(self, tx: Tx, op: Operation, saga: Saga) -> None:
        while op.step >= 0:
            step = saga.steps[op.step]
            orders = await _orders(step.undo, tx, op)
            if orders:
                await self._ask(tx, op, step, orders)
                return
            if step.undone is not None:
                await step.undone(tx, op, {})
            op.step, op.attempt, op.awaiting = op.step - 1, 1, {}
        if saga.unwound is not None:
            await saga.unwound(tx, op)
        await self._end(tx, op, "undone")

    async def _end(self, tx: Tx, op: Operation, state: Any) -> None:
        op.state, op.deadline, op.finished_at, op.awaiting = state, None, clock.now(), {}
        ended = OperationEnded(
            operation_id=op.id,
            kind=op.kind,
            resource_type=op.resource_type,
            resource_id=op.resource_id,
            state=state,
            error=op.error,
        )
        tx.publish(ended)
        # The row must have left the index of running operations before the next one enters it.
        await operation_save(tx, op)
        await operation_next(tx, op)


async def _orders(make: Any, tx: Tx, op: Operation) -> Sequence[Order]:
    return [] if make is None else list(await make(tx, op))


def _answer_of(awaited: Awaited) -> Answer:
    kind = TYPES[awaited.answer_type or ""]
    answer: Any = msgspec.convert(awaited.answer, kind)
    assert isinstance(answer, Answer)
    return answer


def problem_of(failed: Failed) -> dict[str, Any]:
    """What an operation keeps of a failed answer."""
    return {"code": failed.code, "reason": failed.reason, "retry": failed.retry, "details": failed.details}


def _shown(problem: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in problem.items() if key != "retry" and value not in ({}, None)}


def _told(problem: dict[str, Any]) -> dict[str, Any]:
    return {"code": problem.get("code"), "reason": problem.get("reason")}


def context_of(op: Operation) -> Context:
    """The context of everything that is done for an operation: its owner's, its request's."""
    return Context(request_id=op.request_id, project_id=op.project_id, user_id=op.user_id, operation_id=op.id)

"""What becomes of an operation when something happens to it: decisions alone, no database, no messages.

Each function looks at an operation and its saga, writes into the operation what follows at once, and answers what the
engine has to do next.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Any

import msgspec
import structlog

from skybus import clock
from skybus.bus.message import Answer, Failed
from skybus.saga.operations import Operation
from skybus.saga.saga import Saga, Step

log = structlog.get_logger()

BACKOFF_SECONDS = (0.5, 60.0)
"""First and longest pause before a step that failed for now is asked again."""
CRASHED = "operation.crashed"
INTERRUPTED = "operation.interrupted"
TIMED_OUT = "operation.timed-out"


class Next(StrEnum):
    """What the engine has to do."""

    NOTHING = "nothing"
    KEEP = "keep"  # write the operation, no more
    FORWARD = "forward"  # take steps from the present one on
    OVER = "over"  # every answer of the present step is in
    AGAIN = "again"  # ask the present step again
    BACK = "back"  # undo from the present step on
    PARK = "park"  # the way back does not work: somebody has to look


Turn = Callable[[Operation, Saga], Next]


def begin(op: Operation, saga: Saga) -> Next:
    """Take the first step, unless it has been taken."""
    if op.state != "running" or op.step != -1:
        return Next.NOTHING
    op.step, op.attempt = 0, 1
    return Next.FORWARD


def answered(command_id: str, answer: Answer, source: str) -> Turn:
    """Take in an answer from `source`; one that nobody awaits, or awaits from somebody else, is left alone."""

    def turn(op: Operation, saga: Saga) -> Next:
        awaited = op.awaiting.get(command_id)
        if op.state not in ("running", "undoing") or awaited is None or awaited.answer_type is not None:
            log.info("answer_not_awaited", operation=op.id, state=op.state)
            return Next.NOTHING
        if awaited.to != source:
            log.error("answer_from_somebody_else", operation=op.id, to=awaited.to, source=source)
            return Next.NOTHING
        if isinstance(answer, Failed):
            return failed(op, saga, problem_of(answer))
        awaited.answer_type, awaited.answer = answer.TYPE, msgspec.to_builtins(answer)
        return Next.KEEP if any(one.answer_type is None for one in op.awaiting.values()) else Next.OVER

    return turn


def interrupted(op: Operation, saga: Saga) -> Next:
    """Somebody else needs the resource."""
    if op.state != "running":
        return Next.NOTHING
    reason = "Another operation on the same resource took precedence."
    return _unwind(op, saga, {"code": INTERRUPTED, "reason": reason})


def late(op: Operation, saga: Saga) -> Next:
    """The deadline has passed: ask again, or give up."""
    if op.deadline is None or op.deadline > clock.now():
        return Next.NOTHING
    if op.step == -1:
        return begin(op, saga)
    step = saga.steps[op.step]
    if op.attempt >= _limit(op, step):
        reason = f"Step {step.name} had no answer after {op.attempt} attempts."
        problem = op.error if op.state == "running" and op.error else {"code": TIMED_OUT, "reason": reason}
        return _give_up(op, saga, problem)
    op.attempt += 1
    log.info("step_asked_again", operation=op.id, step=step.name, attempt=op.attempt, state=op.state)
    return Next.BACK if op.state == "undoing" else Next.AGAIN


def failed(op: Operation, saga: Saga, problem: dict[str, Any]) -> Next:
    """A step, or an undo, said no: ask again later when that could help, else give up."""
    step = saga.steps[op.step]
    again = problem.get("retry", False) or op.state == "undoing"
    if again and op.attempt < _limit(op, step):
        op.error = op.error if op.state == "undoing" else problem
        op.deadline = clock.now() + _pause(op.attempt - 1)
        log.warning("step_failed_for_now", operation=op.id, step=step.name, state=op.state, **_told(problem))
        return Next.KEEP
    return _give_up(op, saga, problem)


def crashed(error: Exception) -> Turn:
    """Count a crash as a failed attempt: in the end the operation turns round, and is parked as failed when its way
    back crashes too. Runs nothing of the saga, for that is what crashes."""

    def turn(op: Operation, saga: Saga) -> Next:
        op.step, op.attempt = max(op.step, 0), op.attempt + 1
        step = saga.steps[op.step]
        op.deadline = clock.now() + _pause(op.attempt)
        problem = {
            "code": CRASHED,
            "reason": f"An error of ours ({type(error).__name__}), in step {step.name} or behind.",
        }
        if op.state == "undoing":
            return _park(op, step, problem) if op.attempt >= step.undo_attempts else Next.KEEP
        op.error = problem
        if op.attempt >= step.attempts:
            log.warning("operation_unwinds", operation=op.id, kind=op.kind, **_told(problem))
            op.state, op.awaiting, op.attempt = "undoing", {}, 0
        return Next.KEEP

    return turn


def problem_of(answer: Failed) -> dict[str, Any]:
    """What an operation keeps of a failed answer."""
    return {"code": answer.code, "reason": answer.reason, "retry": answer.retry, "details": answer.details}


def _limit(op: Operation, step: Step) -> int:
    return step.attempts if op.state == "running" else step.undo_attempts


def _pause(attempts: int) -> timedelta:
    return timedelta(seconds=min(BACKOFF_SECONDS[0] * 2**attempts, BACKOFF_SECONDS[1]))


def _give_up(op: Operation, saga: Saga, problem: dict[str, Any]) -> Next:
    return _unwind(op, saga, problem) if op.state == "running" else _park(op, saga.steps[op.step], problem)


def _unwind(op: Operation, saga: Saga, problem: dict[str, Any]) -> Next:
    """Turn round: undo the present step, which may have died half-way, and all before it."""
    log.warning("operation_unwinds", operation=op.id, kind=op.kind, **_told(problem))
    op.state, op.error, op.awaiting, op.attempt = "undoing", _shown(problem), {}, 1
    op.step = min(op.step, len(saga.steps) - 1)
    return Next.BACK


def _park(op: Operation, step: Step, problem: dict[str, Any]) -> Next:
    op.error = {**(op.error or {}), "undo": problem, "step": step.name}
    log.error("undo_given_up", operation=op.id, kind=op.kind, **_told(problem))
    return Next.PARK


def _shown(problem: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in problem.items() if key != "retry" and value not in ({}, None)}


def _told(problem: dict[str, Any]) -> dict[str, Any]:
    return {"code": problem.get("code"), "reason": problem.get("reason")}

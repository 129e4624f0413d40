"""Operations that have ended: parked ones are retried or acknowledged, old ones are forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import ClassVar

import pytest

from skybus import clock
from skybus.bus.context import Context, bound
from skybus.bus.message import Answer, Command
from skybus.errors import BadRequest, Conflict, NotFound
from skybus.ids import first_id_at, new_id
from skybus.saga.ended import (
    acknowledgement_of,
    operation_acknowledge,
    operation_retry,
    operations_forget,
    operations_parked,
    operations_parked_count,
)
from skybus.saga.engine import Engine
from skybus.saga.operations import Operation, operation_get, operation_start
from skybus.saga.saga import Order, Saga, Step
from skybus.store import Store, Tx

OWED = "SELECT type, project_id FROM bus.outbox WHERE type LIKE 'skybus.saga.operation.%' ORDER BY id"


class Worked(Answer, frozen=True, kw_only=True):
    """The test's work was done."""

    TYPE: ClassVar[str] = "test.ended.answer.worked.v1"


class Work(Command, frozen=True, kw_only=True):
    """Do some of the test's work."""

    TYPE: ClassVar[str] = "test.ended.command.work.v1"
    ANSWER: ClassVar[type[Answer]] = Worked


class Knot:
    """A saga that fails, and whose undo does not work before it is `loose`. Time is the test's."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.loose = False
        step = Step(name="tie", do=self.refuse, undo=self.untie, undo_attempts=2, attempts=1)
        self.engine = Engine(store, {"knot": Saga(kind="knot", steps=(step,))})
        self.time = clock.now()

    async def refuse(self, tx: Tx, op: Operation) -> Sequence[Order]:
        raise BadRequest("It cannot be tied.")

    async def untie(self, tx: Tx, op: Operation) -> Sequence[Order]:
        if self.loose:
            return []
        raise BadRequest("It cannot be untied.")

    async def accepted(self, resource: str = "r1") -> str:
        """An operation that was just accepted."""
        with bound(Context(request_id="req-1", project_id="p1", user_id="u1")):
            async with self.store.transaction() as tx:
                return await operation_start(tx, "knot", resource_type="thing", resource_id=resource)

    async def swept(self) -> None:
        """Time passes, and a conductor looks."""
        self.time += timedelta(seconds=120)
        await self.engine.sweep()

    async def parked(self, resource: str = "r1") -> str:
        """An operation whose undo was given up."""
        operation = await self.accepted(resource)
        for _ in range(20):
            await self.swept()
            if await self.state(operation) == "failed":
                return operation
        raise AssertionError("it was not parked")

    async def state(self, operation_id: str) -> str | None:
        """Its state; None when it was forgotten."""
        operation = await operation_get(self.store, operation_id)
        return None if operation is None else operation.state


@pytest.fixture
async def knot(store: Store) -> AsyncIterator[Knot]:
    made = Knot(store)
    clock.use(lambda: made.time)
    yield made
    clock.use(None)


async def test_the_undo_of_a_parked_operation_is_tried_again_when_an_operator_says_so(knot: Knot) -> None:
    operation = await knot.parked()
    assert [row["id"] for row in await operations_parked(knot.store)] == [operation]
    knot.loose = True
    async with knot.store.transaction() as tx:
        await operation_retry(tx, operation)
    assert await operations_parked_count(knot.store) == 0
    await knot.engine.sweep()
    ended = await operation_get(knot.store, operation)
    assert ended is not None
    assert ended.state == "undone"
    assert ended.error is not None, "why it was undone is kept"
    assert "undo" not in ended.error
    told = [tuple(row) for row in await knot.store.fetch(OWED)]
    assert told[-2:] == [("skybus.saga.operation.retried.v1", "p1"), ("skybus.saga.operation.ended.v1", "p1")]


async def test_an_undo_that_still_does_not_work_parks_the_operation_again(knot: Knot) -> None:
    operation = await knot.parked()
    async with knot.store.transaction() as tx:
        await operation_retry(tx, operation)
    for _ in range(4):
        await knot.swept()
    assert await knot.state(operation) == "failed"


async def test_an_acknowledged_operation_waits_for_nobody_and_keeps_the_reason(knot: Knot) -> None:
    operation = await knot.parked()
    async with knot.store.transaction() as tx:
        await operation_acknowledge(tx, operation, "  the host was scrapped ")
    assert await operations_parked(knot.store) == []
    [row] = await operations_parked(knot.store, acknowledged=True)
    assert (row["id"], row["acknowledged"]) == (operation, "the host was scrapped")
    assert (await acknowledgement_of(knot.store, operation))["reason"] == "the host was scrapped"
    rows = await knot.store.fetch(OWED)
    assert rows[-1]["type"] == "skybus.saga.operation.acknowledged.v1"
    for act in (lambda tx: operation_retry(tx, operation), lambda tx: operation_acknowledge(tx, operation, "again")):
        with pytest.raises(Conflict, match="the host was scrapped"):
            async with knot.store.transaction() as tx:
                await act(tx)


async def test_only_what_is_parked_is_retried_or_acknowledged_and_never_without_a_reason(knot: Knot) -> None:
    parked, running = await knot.parked(), await knot.accepted("r2")
    async with knot.store.transaction() as tx:
        with pytest.raises(BadRequest):
            await operation_acknowledge(tx, parked, " ")
        for stranger in (new_id(), "nothing"):
            with pytest.raises(NotFound):
                await operation_retry(tx, stranger)
        with pytest.raises(Conflict, match="it is running"):
            await operation_retry(tx, running)
        with pytest.raises(Conflict, match="it is running"):
            await operation_acknowledge(tx, running, "why not")


async def test_a_retry_waits_for_the_operation_that_works_on_the_resource_now(knot: Knot) -> None:
    parked = await knot.parked()
    await knot.accepted()
    async with knot.store.transaction() as tx:
        with pytest.raises(Conflict, match="Another operation"):
            await operation_retry(tx, parked)
    assert await knot.state(parked) == "failed"


async def test_ended_operations_are_forgotten_in_time_and_parked_ones_once_they_were_acknowledged(knot: Knot) -> None:
    seen_to, parked = await knot.parked("r1"), await knot.parked("r2")
    async with knot.store.transaction() as tx:
        await operation_acknowledge(tx, seen_to, "seen to")
    knot.loose = True
    ended = [await knot.accepted(f"r{number}") for number in range(3, 6)]
    await knot.swept()
    moment = knot.time + timedelta(seconds=1)
    knot.time += timedelta(days=1)
    young = await knot.accepted("r9")
    await knot.swept()
    async with knot.store.transaction() as tx:
        assert await operations_forget(tx, moment, 2) == 2, "no more at once than is asked for"
        assert await operations_forget(tx, moment, 100) == 2
        assert await operations_forget(tx, moment, 100) == 0
    assert [await knot.state(one) for one in (seen_to, *ended)] == [None] * 4
    assert [await knot.state(one) for one in (parked, young)] == ["failed", "undone"]


def test_ids_of_earlier_moments_stand_before_the_first_of_a_moment(knot: Knot) -> None:
    before = new_id()
    knot.time += timedelta(milliseconds=1)
    assert before < first_id_at(knot.time) <= new_id()

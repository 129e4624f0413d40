"""The engine with sagas made up for the test, on a real database; the orders it sends are read from the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

import asyncpg
import pytest

from skybus import clock
from skybus.bus.context import Context, bound
from skybus.bus.message import Answer, Command, Failed
from skybus.errors import Conflict
from skybus.ids import new_id
from skybus.saga.engine import Engine
from skybus.saga.operations import Operation, operation_get, operation_start, operations_await
from skybus.saga.saga import Order, Saga, Step
from skybus.store import Store, Tx

WAITERS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%NO KEY UPDATE OF o%'
"""


class Worked(Answer, frozen=True, kw_only=True):
    """The test's work was done."""

    TYPE: ClassVar[str] = "test.saga.answer.worked.v1"
    what: str


class Work(Command, frozen=True, kw_only=True):
    """Do, or undo, some of the test's work."""

    TYPE: ClassVar[str] = "test.saga.command.work.v1"
    ANSWER: ClassVar[type[Answer]] = Worked
    what: str


class World:
    """What the made-up saga did."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def step(self, name: str, *keys: str, **options: Any) -> Step:
        async def do(tx: Tx, op: Operation) -> Sequence[Order]:
            return [Order(to="worker", command=Work(what=f"{name}{key}"), key=key) for key in keys]

        async def apply(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
            self.done.append(f"{name}:{','.join(sorted(answers))}")

        async def undo(tx: Tx, op: Operation) -> Sequence[Order]:
            return [Order(to="worker", command=Work(what=f"un{name}{key}"), key=key) for key in keys]

        async def undone(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
            self.done.append(f"un{name}")

        return Step(name=name, do=do, apply=apply, undo=undo, undone=undone, **options)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def engine(store: Store, world: World) -> Engine:
    async def unwound(tx: Tx, op: Operation) -> None:
        world.done.append("unwound")

    saga = Saga(
        kind="test_make", steps=(world.step("a", ""), world.step("b", "1", "2"), world.step("c")), unwound=unwound
    )
    return Engine(store, {"test_make": saga, "test_drop": Saga(kind="test_drop", steps=(world.step("drop"),))})


async def accept(store: Store, kind: str = "test_make", resource: str = "r1", **options: Any) -> str:
    with bound(Context(request_id="req-1", project_id="p1", user_id="u1")):
        async with store.transaction() as tx:
            return await operation_start(tx, kind, resource_type="thing", resource_id=resource, **options)


async def sent(store: Store) -> dict[str, str]:
    """The orders that are out: what -> command id, and forget them."""
    rows = await store.fetch("DELETE FROM bus.outbox RETURNING type, command_id, body")
    import msgspec

    return {msgspec.json.decode(row["body"])["what"]: row["command_id"] for row in rows if row["type"] == Work.TYPE}


async def answer(engine: Engine, operation_id: str, command_id: str, message: Answer | None = None) -> None:
    await engine.answered(operation_id, command_id, message or Worked(what=""), source="worker")


async def state(store: Store, operation_id: str) -> str:
    operation = await operation_get(store, operation_id)
    assert operation is not None
    return operation.state


async def test_steps_follow_each_other_and_orders_of_one_step_go_out_together(
    store: Store, engine: Engine, world: World
) -> None:
    operation = await accept(store)
    await engine.begin(operation)
    orders = await sent(store)
    assert list(orders) == ["a"]
    await answer(engine, operation, orders["a"])
    orders = await sent(store)
    assert sorted(orders) == ["b1", "b2"]
    await answer(engine, operation, orders["b2"])
    assert await state(store, operation) == "running"
    await answer(engine, operation, orders["b1"])
    assert await state(store, operation) == "done"
    assert world.done == ["a:", "b:1,2", "c:"]


async def test_a_doubled_beginning_and_doubled_or_foreign_answers_change_nothing(
    store: Store, engine: Engine, world: World
) -> None:
    operation = await accept(store)
    await engine.begin(operation)
    orders = await sent(store)
    await engine.begin(operation)
    assert await sent(store) == {}
    await engine.answered(operation, orders["a"], Worked(what="a"), source="somebody-else")
    assert world.done == []
    await answer(engine, operation, orders["a"])
    await sent(store)
    await answer(engine, operation, orders["a"])
    await answer(engine, operation, new_id())
    await answer(engine, new_id(), orders["a"])
    assert world.done == ["a:"]
    assert await sent(store) == {}


async def test_a_final_no_undoes_every_step_that_may_have_left_something_last_first(
    store: Store, engine: Engine, world: World
) -> None:
    operation = await accept(store)
    await engine.begin(operation)
    await answer(engine, operation, (await sent(store))["a"])
    orders = await sent(store)
    await answer(engine, operation, orders["b1"])
    await answer(engine, operation, orders["b2"], Failed(code="x.broken", reason="It broke."))
    orders = await sent(store)
    assert sorted(orders) == ["unb1", "unb2"]
    for order in orders.values():
        await answer(engine, operation, order)
    await answer(engine, operation, (await sent(store))["una"])
    assert await state(store, operation) == "undone"
    assert world.done == ["a:", "unb", "una", "unwound"]
    ended = await operation_get(store, operation)
    assert ended is not None
    assert ended.error == {"code": "x.broken", "reason": "It broke."}


async def later(seconds: float) -> None:
    moment = clock.now() + timedelta(seconds=seconds)
    clock.use(lambda: moment)


@pytest.fixture(autouse=True)
def _own_clock() -> Any:
    yield
    clock.use(None)


async def test_an_order_without_an_answer_is_asked_again_under_its_id_and_then_given_up(
    store: Store, engine: Engine
) -> None:
    operation = await accept(store)
    await engine.begin(operation)
    first = await sent(store)
    for _ in range(2):
        await later(31)
        await engine.sweep()
        assert await sent(store) == first
    await later(31)
    await engine.sweep()
    assert list(await sent(store)) == ["una"]


async def test_a_step_that_has_nothing_to_ask_any_more_is_stepped_over(store: Store, world: World) -> None:
    there = ["it"]

    async def do(tx: Tx, op: Operation) -> Sequence[Order]:
        return [Order(to="worker", command=Work(what=what)) for what in there]

    vanishing = Saga(kind="test_make", steps=(Step(name="a", do=do), world.step("c")))
    engine = Engine(store, {"test_make": vanishing})
    operation = await accept(store)
    await engine.begin(operation)
    there.clear()
    await later(31)
    await engine.sweep()
    assert await state(store, operation) == "done"
    assert world.done == ["c:"]


async def test_trouble_is_asked_again_after_a_pause(store: Store, engine: Engine) -> None:
    operation = await accept(store)
    await engine.begin(operation)
    orders = await sent(store)
    await answer(engine, operation, orders["a"], Failed(code="x.busy", reason="Busy.", retry=True))
    await engine.sweep()
    assert await sent(store) == {}
    await later(1)
    await engine.sweep()
    assert await sent(store) == orders
    await answer(engine, operation, orders["a"])
    assert sorted(await sent(store)) == ["b1", "b2"]


async def test_an_undo_that_never_works_parks_the_operation_as_failed(store: Store, engine: Engine) -> None:
    operation = await accept(store)
    await engine.begin(operation)
    await answer(engine, operation, (await sent(store))["a"], Failed(code="x.broken", reason="It broke."))
    for _ in range(20):
        for order in (await sent(store)).values():
            await answer(engine, operation, order, Failed(code="x.stuck", reason="Stuck."))
        await later(120)
        await engine.sweep()
    assert await state(store, operation) == "failed"


async def test_a_second_operation_on_a_resource_is_refused_while_one_runs(store: Store, engine: Engine) -> None:
    operation = await accept(store)
    with pytest.raises(Conflict):
        await accept(store)
    assert await accept(store, resource="r2") != operation
    assert await accept(store, exclusive=False)


async def test_an_interrupting_operation_waits_until_the_running_one_is_undone(
    store: Store, engine: Engine, world: World
) -> None:
    making = await accept(store)
    await engine.begin(making)
    await sent(store)
    dropping = await accept(store, "test_drop", interrupts=True)
    assert await accept(store, "test_drop", interrupts=True) == dropping
    assert await state(store, dropping) == "waiting"
    await engine.interrupt(making)
    await answer(engine, making, (await sent(store))["una"])
    assert await state(store, making) == "undone"
    assert await state(store, dropping) == "running"
    await engine.begin(dropping)
    assert await state(store, dropping) == "done"
    assert world.done == ["una", "unwound", "drop:"]


async def test_an_operation_whose_first_message_was_lost_is_begun_by_the_sweep(store: Store, engine: Engine) -> None:
    await accept(store)
    await sent(store)
    await later(6)
    await engine.sweep()
    assert list(await sent(store)) == ["a"]


async def test_an_operation_that_cannot_be_moved_keeps_no_other_waiting(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(tx: Tx, op: Operation) -> Sequence[Order]:
        raise ZeroDivisionError

    engine = Engine(
        store,
        {
            "test_make": Saga(kind="test_make", steps=(Step(name="a", do=crash),)),
            "test_drop": Saga(kind="test_drop", steps=(world.step("drop"),)),
        },
    )
    crashing = await accept(store)
    unknown = await accept(store, "test_nobody_knows", "r2")
    sound = await accept(store, "test_drop", "r3")
    later = clock.now() + timedelta(seconds=6)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert await engine.sweep() == 3
    assert [await state(store, one) for one in (crashing, unknown, sound)] == ["running", "running", "done"]
    assert await engine.sweep() == 0, "they are looked at again later, not at once"
    later += timedelta(seconds=60)
    assert await engine.sweep() == 2


async def crash(tx: Tx, op: Operation) -> Sequence[Order]:
    raise ZeroDivisionError


async def swept(engine: Engine, operation_id: str, *, most: int) -> int:
    """Sweeps until the operation has ended; no more than `most`."""
    for count in range(most):
        if await state(engine.store, operation_id) in ("done", "undone", "failed"):
            return count
        await later(120)
        await engine.sweep()
    return most


async def test_an_operation_whose_step_crashes_is_tried_as_often_as_one_that_fails_and_then_unwound(
    store: Store, world: World
) -> None:
    crashing = Saga(kind="test_make", steps=(world.step("a", attempts=4), Step(name="b", do=crash)))
    engine = Engine(store, {"test_make": crashing})
    operation = await accept(store)
    assert 3 <= await swept(engine, operation, most=12) <= 6
    ended = await operation_get(store, operation)
    assert ended is not None
    assert (ended.state, ended.error) == (
        "undone",
        {"code": "operation.crashed", "reason": "An error of ours (ZeroDivisionError), in step a or behind."},
    )
    assert world.done[-1] == "una", "what may have been done is undone"


async def test_an_operation_whose_way_back_crashes_too_is_parked_and_the_next_one_on_its_resource_begins(
    store: Store, world: World
) -> None:
    broken = Saga(kind="test_make", steps=(Step(name="a", do=crash, undo=crash, attempts=2, undo_attempts=3),))
    engine = Engine(store, {"test_make": broken, "test_drop": Saga(kind="test_drop", steps=(world.step("drop"),))})
    operation = await accept(store)
    dropping = await accept(store, "test_drop", interrupts=True)
    assert await swept(engine, operation, most=20) < 12
    parked = await operation_get(store, operation)
    assert parked is not None
    assert parked.state == "failed"
    assert parked.error is not None
    assert (parked.error["code"], parked.error["undo"]["code"]) == ("operation.crashed", "operation.crashed")
    alarm = (
        "SELECT body::json ->> 'state' FROM bus.outbox WHERE type = 'skybus.saga.operation.ended.v1' AND subject = $1"
    )
    assert await store.fetchval(alarm, operation) == "failed"
    await swept(engine, dropping, most=5)
    assert await state(store, dropping) == "done"


async def test_the_databases_bad_hour_is_no_crash_of_the_operation_that_met_it(store: Store) -> None:
    async def unlucky(tx: Tx, op: Operation) -> Sequence[Order]:
        raise asyncpg.DeadlockDetectedError("deadlock detected")

    engine = Engine(store, {"test_make": Saga(kind="test_make", steps=(Step(name="a", do=unlucky),))})
    operation = await accept(store)
    assert await swept(engine, operation, most=12) == 12
    assert await state(store, operation) == "running"


async def test_an_undo_that_the_conductor_itself_refuses_is_tried_as_often_as_any_and_then_parked(store: Store) -> None:
    async def refuse(tx: Tx, op: Operation) -> Sequence[Order]:
        raise Conflict("It is not in a state for this.")

    saga = Saga(kind="test_make", steps=(Step(name="a", do=refuse, undo=refuse, undo_attempts=3),))
    engine = Engine(store, {"test_make": saga})
    operation = await accept(store)
    assert await swept(engine, operation, most=12) < 12
    assert await state(store, operation) == "failed"


async def test_a_command_that_two_workers_have_in_hand_is_left_to_the_first_until_it_has_committed(
    store: Store, engine: Engine
) -> None:
    operation = await accept(store)
    await engine.begin(operation)
    command = (operation, (await sent(store))["a"])

    async def second() -> set[tuple[str, str]]:
        async with store.transaction() as tx:
            return await operations_await(tx, [command])

    async with store.transaction() as tx:
        assert await operations_await(tx, [command]) == {command}
        other = asyncio.create_task(second())
        async with asyncio.timeout(10):
            while not await store.fetchval(WAITERS):
                await asyncio.sleep(0.01)
        assert not other.done()
    assert await asyncio.wait_for(other, 10) == {command}

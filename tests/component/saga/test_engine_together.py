"""Many operations at once: one transaction for what happens together, and nobody pays for anybody else's trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from test_engine import Work, Worked

from skybus.bus.context import Context, bound, current, on_behalf_of
from skybus.bus.message import Answer
from skybus.config import Database
from skybus.errors import CommandRefused
from skybus.saga.engine import Engine
from skybus.saga.operations import Operation, operation_get, operation_start
from skybus.saga.saga import Answered, Order, Saga, Step
from skybus.store import Store, Tx

MANY = 20


class CountedStore(Store):
    """A store that counts the transactions that it commits."""

    commits = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        async with super().transaction() as tx:
            yield tx
        self.commits += 1


class Crowd:
    """A saga of two steps that takes many operations at once, and notes in whose name it worked."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.named: dict[str, str] = {}

    async def ask(self, tx: Tx, ops: Sequence[Operation]) -> Sequence[Sequence[Order]]:
        self.sizes.append(len(ops))
        return [[Order(to="worker", command=Work(what=op.resource_id))] for op in ops]

    async def note(self, tx: Tx, answered: Answered) -> None:
        for op, _ in answered:
            if op.resource_id == "refuses":
                raise CommandRefused("not this one", code="test.refused")
            with on_behalf_of(op.resource_id):
                self.named[op.resource_id] = current().request_id

    async def undone(self, tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
        self.named[op.resource_id] = "undone"

    def saga(self) -> Saga:
        step = Step(name="a", do_all=self.ask, apply_all=self.note, undone=self.undone)
        return Saga(kind="test_make", steps=(step,))


@asynccontextmanager
async def counted(store: Store) -> AsyncIterator[tuple[CountedStore, Crowd, Engine]]:
    other = CountedStore(Database(dsn=store.config.dsn, pool_size=3), "test")
    await other.open()
    other.on_owed = lambda owed: None
    crowd = Crowd()
    try:
        yield other, crowd, Engine(other, {"test_make": crowd.saga()})
    finally:
        await other.close()


async def accepted(store: Store, names: Sequence[str]) -> dict[str, str]:
    """Operations, each of a request of its own: resource -> operation id."""
    ids = {}
    for name in names:
        async with store.transaction() as tx:
            with bound(Context(request_id=f"req-{name}", project_id="p1")):
                ids[name] = await operation_start(tx, "test_make", resource_type="thing", resource_id=name)
    return ids


async def answer_all(store: Store, engine: Engine, ids: Mapping[str, str]) -> None:
    orders = await store.fetch("SELECT operation_id, command_id FROM bus.outbox WHERE type = $1", Work.TYPE)
    assert {row["operation_id"] for row in orders} == set(ids.values())
    await asyncio.gather(
        *(engine.answered(row["operation_id"], row["command_id"], Worked(what=""), source="worker") for row in orders)
    )


async def states(store: Store, ids: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, id_ in ids.items():
        operation = await operation_get(store, id_)
        assert operation is not None
        found[name] = operation.state
    return found


async def test_what_happens_to_many_at_once_is_a_few_transactions_each_in_its_owners_name(store: Store) -> None:
    async with counted(store) as (counting, crowd, engine):
        ids = await accepted(counting, [f"r{number}" for number in range(MANY)])
        before = counting.commits
        await asyncio.gather(*(engine.begin(id_) for id_ in ids.values()))
        await answer_all(counting, engine, ids)
        assert counting.commits - before <= 4
        assert max(crowd.sizes) >= MANY - 1
        assert set((await states(counting, ids)).values()) == {"done"}
        assert crowd.named == {name: f"req-{name}" for name in ids}
        rows = await counting.fetch("SELECT request_id FROM bus.outbox WHERE type = 'skybus.saga.operation.ended.v1'")
        assert sorted(row["request_id"] for row in rows) == sorted(f"req-{name}" for name in ids)


async def test_one_that_is_refused_goes_back_alone(store: Store) -> None:
    async with counted(store) as (counting, crowd, engine):
        ids = await accepted(counting, ["r1", "r2", "refuses", "r3"])
        await asyncio.gather(*(engine.begin(id_) for id_ in ids.values()))
        await answer_all(counting, engine, ids)
        assert await states(counting, ids) == {"r1": "done", "r2": "done", "refuses": "undone", "r3": "done"}
        assert crowd.named["refuses"] == "undone"


async def test_two_answers_to_one_operation_that_come_together_are_both_taken_in(store: Store) -> None:
    async with counted(store) as (counting, _, engine):
        ids = await accepted(counting, ["r1", "r2"])
        await asyncio.gather(*(engine.begin(id_) for id_ in ids.values()))
        await asyncio.gather(
            answer_all(counting, engine, ids), answer_all(counting, engine, ids), answer_all(counting, engine, ids)
        )
        assert set((await states(counting, ids)).values()) == {"done"}
        ended = "SELECT count(*) FROM bus.outbox WHERE type = 'skybus.saga.operation.ended.v1'"
        assert await counting.fetchval(ended) == 2

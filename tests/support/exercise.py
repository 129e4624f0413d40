"""`exercise_saga`: every way in which a saga may be disturbed, tried on a cloud of its own.

A saga without a case in tests/component/conductor/test_sagas.py fails the suite.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skybus.bus.envelope import Envelope
from skybus.bus.message import Answer, Command, Failed
from skybus.ids import new_id
from support.small_cloud import Carry, SmallCloud, small_cloud

Arrange = Callable[[SmallCloud], Awaitable[Any]]
Act = Callable[[SmallCloud, Any], Awaitable[Any]]
Check = Callable[[SmallCloud, Any], Awaitable[None]]

REFUSED = Failed(code="test.refused", reason="The test said no.")
TROUBLED = Failed(code="test.troubled", reason="The test said not now.", retry=True)


@dataclass(frozen=True, kw_only=True)
class Case:
    """How to see one saga at work. `arrange` makes what it needs, `act` asks for it through the API and answers what
    `done` and `undone` are given; `undone` is what the owner sees after a way back, and `rests` that the world is then
    as it was before `act` (a deletion has no way back: the world is somewhere in between, and `again` finishes it)."""

    kind: str
    arrange: Arrange
    act: Act
    done: Check
    undone: Check
    rests: bool = True
    again: Act | None = None


class _Meddler:
    """Disturbs the order number `index` of those that are given after the act."""

    def __init__(self, index: int, how: str) -> None:
        self.index, self.how, self.seen = index, how, -1
        self.ids: list[str] = []

    async def __call__(self, envelope: Envelope, command: Command, carry: Carry) -> Answer | None:
        if not envelope.operation_id:
            return await carry(command)
        if envelope.command_id not in self.ids:
            self.ids.append(envelope.command_id)
        if self.ids.index(envelope.command_id) != self.index:
            return await carry(command)
        self.seen += 1
        if self.how == "refused":
            return REFUSED
        if self.how == "refused after its effect":
            await carry(command)
            return REFUSED
        if self.how == "lost" and self.seen == 0:
            return None
        if self.how == "answer lost" and self.seen == 0:
            await carry(command)
            return None
        if self.how == "troubled" and self.seen == 0:
            return TROUBLED
        return await carry(command)


SURVIVED = ("lost", "answer lost", "troubled")
UNWOUND = ("refused", "refused after its effect")


async def exercise_saga(case: Case, folder: Path) -> None:
    """Prove the promises of one saga. Raises AssertionError that says which disturbance broke which."""
    orders, deliveries = await _undisturbed(case, folder)
    await _doubled(case, folder)
    for index in range(orders):
        for how in SURVIVED:
            await _survives(case, folder, index, how)
        for how in UNWOUND:
            for doubled in (False, True):
                await _unwinds(case, folder, index, how, doubled)
    for number in range(deliveries):
        await _killed(case, folder, number)


@asynccontextmanager
async def _scene(case: Case, folder: Path, what: str) -> AsyncIterator[tuple[SmallCloud, Any]]:
    async with small_cloud(folder / new_id()) as cloud:
        arranged = await case.arrange(cloud)
        cloud.orders.clear()
        try:
            yield cloud, arranged
        except AssertionError as error:
            raise AssertionError(f"{case.kind}, {what}: {error}") from error


async def _undisturbed(case: Case, folder: Path) -> tuple[int, int]:
    async with _scene(case, folder, "undisturbed") as (cloud, arranged):
        cloud.deliveries = 0
        acted = await case.act(cloud, arranged)
        await cloud.run()
        await case.done(cloud, acted)
        await _ended(cloud, case.kind, "done")
        return len(cloud.orders), cloud.deliveries


async def _doubled(case: Case, folder: Path) -> None:
    async with _scene(case, folder, "every message doubled") as (cloud, arranged):
        cloud.doubled = True
        acted = await case.act(cloud, arranged)
        await cloud.run()
        await case.done(cloud, acted)
        await _ended(cloud, case.kind, "done")


async def _survives(case: Case, folder: Path, index: int, how: str) -> None:
    async with _scene(case, folder, f"order {index} {how}") as (cloud, arranged):
        cloud.meddle = _Meddler(index, how)
        acted = await case.act(cloud, arranged)
        await cloud.run()
        await case.done(cloud, acted)
        await _ended(cloud, case.kind, "done")


async def _unwinds(case: Case, folder: Path, index: int, how: str, doubled: bool) -> None:
    what = f"order {index} {how}" + (", every message doubled" if doubled else "")
    async with _scene(case, folder, what) as (cloud, arranged):
        before = await cloud.world()
        cloud.meddle, cloud.doubled = _Meddler(index, how), doubled
        acted = await case.act(cloud, arranged)
        await cloud.run()
        await _ended(cloud, case.kind, "undone")
        await case.undone(cloud, acted)
        if case.rests:
            after = await cloud.world()
            assert after == before, {key: (before[key], after[key]) for key in before if before[key] != after[key]}
        if case.again is not None:
            cloud.meddle = None
            acted = await case.again(cloud, arranged)
            await cloud.run()
            await case.done(cloud, acted)


async def _killed(case: Case, folder: Path, number: int) -> None:
    async with _scene(case, folder, f"its process killed before commit {number}") as (cloud, arranged):
        acted = await case.act(cloud, arranged)
        cloud.fate.dies_in = number
        await cloud.run()
        await case.done(cloud, acted)
        await _ended(cloud, case.kind, "done")


async def _ended(cloud: SmallCloud, kind: str, state: str) -> None:
    rows = await cloud.store.fetch("SELECT state, error FROM saga.operation WHERE kind = $1 ORDER BY id DESC", kind)
    assert rows, f"no operation {kind} was accepted"
    assert rows[0]["state"] == state, f"the operation is {rows[0]['state']}: {rows[0]['error']}"

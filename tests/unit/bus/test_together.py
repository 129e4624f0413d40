"""Doing together what comes at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from skybus.bus.together import Together
from skybus.errors import Outage


class Work:
    """Notes its batches, refuses some items, and goes no further until it is let."""

    def __init__(self, *, bad: Sequence[int] = (), error: type[Exception] = ValueError) -> None:
        self.batches: list[list[int]] = []
        self.bad, self.error = bad, error
        self.go = asyncio.Event()

    async def __call__(self, items: Sequence[int]) -> None:
        self.batches.append(list(items))
        await self.go.wait()
        for item in items:
            if item in self.bad:
                raise self.error(str(item))


async def crowd(together: Together[int], work: Work, count: int) -> list[BaseException | None]:
    """Hand in the items while the first is worked on; what became of each."""
    calls = []
    for item in range(count):
        calls.append(asyncio.create_task(together(item)))
        while not work.batches:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    work.go.set()
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_what_comes_while_one_is_worked_on_is_done_together_afterwards() -> None:
    work = Work()
    together = Together(work, most=10)
    assert await crowd(together, work, 5) == [None] * 5
    assert work.batches == [[0], [1, 2, 3, 4]]
    await together(5)
    assert work.batches[-1] == [5], "alone, it waits for nobody"


async def test_a_batch_is_no_larger_than_it_may_be() -> None:
    work = Work()
    assert await crowd(Together(work, most=2), work, 6) == [None] * 6
    assert work.batches == [[0], [1, 2], [3, 4], [5]]


async def test_what_fails_spoils_nothing_else_and_its_caller_alone_hears_of_it() -> None:
    work = Work(bad=[2])
    outcomes = await crowd(Together(work, most=10), work, 4)
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), ValueError, type(None)]
    assert work.batches == [[0], [1, 2, 3], [1], [2], [3]]


async def test_an_outage_is_everybodys_and_nobody_is_tried_alone() -> None:
    work = Work(bad=[2], error=Outage)
    outcomes = await crowd(Together(work, most=10), work, 4)
    assert [type(outcome) for outcome in outcomes] == [type(None), Outage, Outage, Outage]
    assert work.batches == [[0], [1, 2, 3]]


async def test_whoever_gave_up_waiting_is_not_worked_for() -> None:
    work = Work()
    together = Together(work, most=10)
    first = asyncio.create_task(together(0))
    while not work.batches:
        await asyncio.sleep(0)
    second = asyncio.create_task(together(1))
    await asyncio.sleep(0)
    second.cancel()
    work.go.set()
    await first
    with pytest.raises(asyncio.CancelledError):
        await second
    assert work.batches == [[0]]


async def test_in_a_crowd_batches_keep_their_pace_and_alone_nothing_waits() -> None:
    work = Work()
    work.go.set()
    loop = asyncio.get_running_loop()
    together = Together(work, most=10, pace_seconds=0.05)
    began = loop.time()
    await together(0)
    assert loop.time() - began < 0.05
    await together(1)
    assert loop.time() - began >= 0.045
    assert work.batches == [[0], [1]]

"""Load: so many at a time, or as many as can be had in some seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any


async def in_flight(count: int, limit: int, work: Callable[[int], Awaitable[None]]) -> None:
    """`count` pieces of work, at most `limit` at a time. Raises what the first that fails raises."""
    numbers = iter(range(count))

    async def lane() -> None:
        for number in numbers:
            await work(number)

    await asyncio.gather(*(lane() for _ in range(min(limit, count))))


async def hammer(
    seconds: float, concurrency: int, work: Callable[[], Awaitable[Any]], *, most: int = 1_000_000
) -> tuple[list[float], float]:
    """The time of each call in ms, and how many seconds all of them took: `seconds`, or as long as `most` calls take
    when that is less."""
    times: list[float] = []
    began = time.monotonic()
    left = most

    async def lane() -> None:
        nonlocal left
        while left > 0 and time.monotonic() - began < seconds:
            left -= 1
            at = time.monotonic()
            await work()
            times.append((time.monotonic() - at) * 1000)

    await asyncio.gather(*(lane() for _ in range(concurrency)))
    return times, time.monotonic() - began

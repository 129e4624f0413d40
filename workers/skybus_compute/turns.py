"""One order at a time for each server, first come first served, and a way for a delete to hurry the one before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from skybus.errors import CommandTroubled

T = TypeVar("T")


@dataclass(slots=True)
class _Queue:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    users: int = 0


class Turns:
    """Keeps orders for one server apart; orders for different servers do not wait for each other."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}

    @asynccontextmanager
    async def of(self, server_id: str, *, hurry: bool = False) -> AsyncIterator[None]:
        """Wait for one's turn. With `hurry`, whoever is inside `unless_hurried` gives up at once."""
        queue = self._queues.setdefault(server_id, _Queue())
        queue.users += 1
        try:
            if hurry:
                queue.hurry.set()
            async with queue.lock:
                if hurry:
                    queue.hurry.clear()
                yield
        finally:
            queue.users -= 1
            if not queue.users:
                del self._queues[server_id]

    async def unless_hurried(self, server_id: str, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which must bear being cancelled. Raises CommandTroubled when a delete wants its turn.

        Only to be called by whoever has the turn.
        """
        task = asyncio.ensure_future(work)
        hurried = asyncio.ensure_future(self._queues[server_id].hurry.wait())
        try:
            await asyncio.wait({task, hurried}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise CommandTroubled("the server is being deleted", code="compute.interrupted")
        finally:
            for each in (task, hurried):
                each.cancel()
            await asyncio.gather(task, hurried, return_exceptions=True)

    @property
    def busy(self) -> int:
        """How many servers have an order in hand or waiting."""
        return len(self._queues)

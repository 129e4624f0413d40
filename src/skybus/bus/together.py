"""Doing together what comes at the same time.

While one batch is worked off, what arrives meanwhile waits, and becomes the next batch. Alone, a piece of work waits
for nobody; under load a transaction, its locks and its commit are paid once for many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import Generic, TypeVar

from skybus.errors import Outage

Item = TypeVar("Item")


class Together(Generic[Item]):
    """Calls that come while `work` runs are handed to its next run, at most `most` of them.

    Runs begin at least `pace_seconds` apart: what comes alone, after a pause, does not wait, and what comes in crowds
    is done in larger batches.

    `work` succeeds for all of its items or for none. When it fails for several they are tried one by one, so that one
    piece of work cannot spoil another; the caller of each gets the error that was its own.
    """

    def __init__(
        self, work: Callable[[Sequence[Item]], Awaitable[None]], *, most: int, pace_seconds: float = 0
    ) -> None:
        self.work = work
        self.pace_seconds = pace_seconds
        self.most = most
        self._waiting: list[tuple[Item, asyncio.Future[None]]] = []
        self._working: asyncio.Task[None] | None = None
        self._context = copy_context()
        self._next = 0.0

    async def __call__(self, item: Item) -> None:
        """Return when `item` is done. Raises what its work raised."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._working is None:
            # In the context of whoever made this: it works for all who come, not for the one who came first.
            self._working = asyncio.create_task(self._work_off(), context=self._context.copy())
        await done

    async def _work_off(self) -> None:
        try:
            while self._waiting:
                await self._keep_pace()
                batch, self._waiting = self._waiting[: self.most], self._waiting[self.most :]
                # Whoever gave up waiting will come again.
                batch = [(item, done) for item, done in batch if not done.done()]
                if batch:
                    await self._batch(batch)
        finally:
            self._working = None

    async def _keep_pace(self) -> None:
        loop = asyncio.get_running_loop()
        early = self._next - loop.time()
        if early > 0 and len(self._waiting) < self.most:
            await asyncio.sleep(early)
        self._next = loop.time() + self.pace_seconds

    async def _batch(self, batch: Sequence[tuple[Item, asyncio.Future[None]]]) -> None:
        try:
            await self.work([item for item, _ in batch])
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, Outage):
                for one in batch:
                    await self._batch([one])
                return
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
        except BaseException:
            for _, done in batch:
                done.cancel()
            raise
        else:
            for _, done in batch:
                if not done.done():
                    done.set_result(None)

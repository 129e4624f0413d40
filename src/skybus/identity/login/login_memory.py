"""What logins read, remembered for as long as nothing of it has changed.

Every change of identity adds to a count in its own transaction. A login looks at the count, and at the revision of
revocations, before all else, and both in one statement: what was read while they stood where they stand now is still
true. So a program's hundredth login in a row costs one small statement, and none where several look at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from skybus.identity.auth.revocations import Revocations
from skybus.store import Tx

Row = Any
Key = tuple[Any, ...]
SECONDS = 2.0
"""What changes by itself as time passes, such as a membership that ends, is read anew after this."""
MOST = 5_000
"""Answers in memory."""

LOOK = """
SELECT revision, (SELECT COALESCE(sum(count), 0)::bigint FROM identity.change_count) AS changes FROM identity.revision
"""
# Several rows, so that changes do not queue for one; a connection always takes the same.
CHANGED = """
UPDATE identity.change_count SET count = count + 1 WHERE shard = pg_backend_pid() % 16
RETURNING pg_notify('skybus_identity', '')
"""


async def change_count(tx: Tx) -> None:
    """Let every gateway process forget what it has read for logins, when `tx` commits. Call it last: until then it
    holds up other changes."""
    await tx.execute(CHANGED)


class Remembered:
    """Reads through memory, in place of the store: for statements that only read."""

    def __init__(self, store: Any, answers: dict[Key, Any]) -> None:
        self._store = store
        self._answers = answers

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """All rows."""
        return list(await self._read(self._store.fetch, sql, args))

    async def fetchrow(self, sql: str, *args: Any) -> Row | None:
        """The first row, or None."""
        return await self._read(self._store.fetchrow, sql, args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """The first column of the first row, or None."""
        return await self._read(self._store.fetchval, sql, args)

    async def _read(self, read: Callable[..., Coroutine[Any, Any, Any]], sql: str, args: tuple[Any, ...]) -> Any:
        key = (read.__name__, sql, *(tuple(arg) if isinstance(arg, list) else arg for arg in args))
        if key in self._answers:
            return self._answers[key]
        answer = await read(sql, *args)
        # What is not there is asked for with ids that anybody may make up.
        if answer is not None and len(self._answers) < MOST:
            self._answers[key] = answer
        return answer


class LoginMemory:
    """The memory of one process."""

    def __init__(self, store: Any, revocations: Revocations) -> None:
        self.store = store
        self.revocations = revocations
        self.changed: Callable[[], None] = lambda: None
        """Called when a look finds that something was changed, for whoever else remembers."""
        self._stand: tuple[int, int] = (-1, -1)
        self._until = 0.0
        self._answers: dict[Key, Any] = {}
        self._looking: asyncio.Task[tuple[int, int]] | None = None
        self._next: asyncio.Task[tuple[int, int]] | None = None

    @property
    def reads(self) -> Remembered:
        """The store, through memory: its answers are as true as the last look."""
        return Remembered(self.store, self._answers)

    async def look(self) -> int:
        """The revision that a token must carry which is made from what is read, or remembered, after this call.

        Revocations that no event has told of are learnt. Callers that come while a look is under way share the next.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._looking))
        stand = await asyncio.shield(self._next)
        now = time.monotonic()
        if stand[1] > self._stand[1]:
            self.changed()
        # A look that was overtaken by a newer one finds newer answers: they are true for it, too.
        if stand > self._stand or now >= self._until or len(self._answers) >= MOST:
            self._stand, self._until, self._answers = max(stand, self._stand), now + SECONDS, {}
        return stand[0]

    def forget(self) -> None:
        """Read everything anew."""
        self._answers = {}

    async def _after(self, before: asyncio.Task[tuple[int, int]] | None) -> tuple[int, int]:
        if before is not None:
            await asyncio.wait([before])
        # From here on others may have changed what this look does not see: who comes now waits for the next.
        self._looking, self._next = self._next, None
        began = time.monotonic()
        row = await self.store.fetchrow(LOOK)
        await self.revocations.learn(self.store, row["revision"], began)
        return row["revision"], row["changes"]

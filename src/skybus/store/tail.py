"""Following the event log: every event once, in order of position, woken by NOTIFY and by a slow timer.

The log is the truth and the wake-up only a hint, so a follower misses nothing while the bus or its connection is down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec
import structlog

from skybus.errors import Outage

if TYPE_CHECKING:
    from skybus.store.store import Store

log = structlog.get_logger()

CHANNEL = "skybus_events"
SWEEP_SECONDS = 0.5
"""How late an event may be noticed when no NOTIFY arrives."""
GATHER_SECONDS = 0.02
"""Wake-ups within this time are answered by one look."""

HEAD = "SELECT position FROM bus.event_head"
BETWEEN = """
SELECT position, id, type, source, subject, project_id, request_id, operation_id, time, body
  FROM bus.event WHERE position > $1 AND position <= $2 AND type LIKE ANY($3::text[])
 ORDER BY position LIMIT $4
"""


class LoggedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it stands in the log."""

    position: int
    id: str
    type: str
    source: str
    subject: str
    project_id: str
    request_id: str
    operation_id: str
    time: datetime
    body: dict[str, Any]


Follower = Callable[[LoggedEvent], None]


class Tail:
    """Reads the log as it grows and hands each event to everybody who asked for its type."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.position = 0
        self.caught_up_at = 0.0
        """Loop time at which the log was last known to be read to its end."""
        self._followers: dict[Follower, str] = {}
        self._subjects: dict[str, asyncio.Event] = {}
        self._moved = asyncio.Condition()
        self.closing = False
        """Whether whoever waits here should go home."""
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin at the log's present end."""
        self.position = int(await self.store.fetchval(HEAD))
        self.caught_up_at = asyncio.get_running_loop().time()
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._read())]

    async def close(self) -> None:
        """Send everybody home who waits for the log to grow."""
        self.closing = True
        async with self._moved:
            self._moved.notify_all()

    async def stop(self) -> None:
        """End both tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def follow(self, follower: Follower, pattern: str = "%") -> Callable[[], None]:
        """Call `follower` with each event whose type is LIKE `pattern`; answer what ends it."""
        self._followers[follower] = pattern

        def end() -> None:
            self._followers.pop(follower, None)

        return end

    async def beyond(self, position: int, timeout: float) -> bool:
        """Return true as soon as the log goes beyond `position`, false after `timeout` seconds without."""
        try:
            async with asyncio.timeout(timeout), self._moved:
                await self._moved.wait_for(lambda: self.position > position or self.closing)
        except TimeoutError:
            return False
        return not self.closing

    async def wait_for_subject(self, subject: str, timeout: float) -> None:
        """Return when an event about `subject` passes, or after `timeout` seconds."""
        event = self._subjects.setdefault(subject, asyncio.Event())
        try:
            await asyncio.wait_for(event.wait(), timeout)
        except TimeoutError:
            pass
        finally:
            self._subjects.pop(subject, None)

    async def _listen(self) -> None:
        while True:
            try:
                async with self.store.connection() as conn:
                    await conn.add_listener(CHANNEL, lambda *_: self._wake.set())
                    while not conn.is_closed():
                        await asyncio.sleep(5)
                        await conn.execute("SELECT 1", timeout=5)
            except asyncio.CancelledError:
                raise
            except (Outage, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("tail_not_listening", reason=str(error))
                await asyncio.sleep(1)

    async def _read(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), SWEEP_SECONDS)
                await asyncio.sleep(GATHER_SECONDS)
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._catch_up()
            except asyncio.CancelledError:
                raise
            except (Outage, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("tail_not_reading", reason=str(error))

    async def _catch_up(self) -> None:
        looked_at = asyncio.get_running_loop().time()
        head = int(await self.store.fetchval(HEAD))
        patterns = sorted({*self._followers.values(), *(["skybus.saga.operation.%"] if self._subjects else [])})
        while self.position < head:
            rows = await self.store.fetch(BETWEEN, self.position, head, patterns, 500) if patterns else []
            for row in rows:
                self._hand_on(LoggedEvent(**dict(row)))
            self.position = rows[-1]["position"] if len(rows) == 500 else head
        self.caught_up_at = looked_at
        async with self._moved:
            self._moved.notify_all()

    def _hand_on(self, event: LoggedEvent) -> None:
        waiting = self._subjects.get(event.subject)
        if waiting is not None:
            waiting.set()
        for follower, pattern in list(self._followers.items()):
            if pattern == "%" or event.type.startswith(pattern.removesuffix("%")):
                follower(event)

"""The relay: it sends what committed transactions owe to the bus, and numbers the events.

Two short transactions a pass. The first numbers new events: their positions have no gaps, and because the head row is
locked to its end, the order of positions is the order of commits. The second publishes and then deletes: a crash in
between publishes again, which consumers expect, under the same position. Any number of relays work side by side.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import structlog

from skybus.bus.envelope import EVENTS, Envelope, Post
from skybus.bus.transport import BusError, Transport, Unroutable
from skybus.store.store import Store

log = structlog.get_logger()

CHANNEL = "skybus_outbox"
BATCH = 256
SWEEP_SECONDS = 1.0
"""How late a message is sent whose process died between its commit and its wake-up."""

NUMBER = """
WITH fresh AS (
    SELECT id, row_number() OVER (ORDER BY id) AS n
      FROM (SELECT id FROM bus.outbox WHERE exchange = 'skybus.events' AND position IS NULL
             ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED) AS locked
), head AS (
    UPDATE bus.event_head SET position = position + (SELECT count(*) FROM fresh)
     WHERE EXISTS (SELECT 1 FROM fresh)
    RETURNING position - (SELECT count(*) FROM fresh) AS base
), numbered AS (
    UPDATE bus.outbox o SET position = head.base + fresh.n FROM fresh, head WHERE o.id = fresh.id RETURNING o.*
), logged AS (
    INSERT INTO bus.event (position, id, type, source, subject, project_id, request_id, operation_id, traceparent,
                           time, body)
    SELECT position, message_id, type, source, subject, project_id, request_id, operation_id, traceparent, time,
           body::json
      FROM numbered RETURNING 1
)
SELECT count(*), CASE WHEN EXISTS (SELECT 1 FROM logged) THEN pg_notify('skybus_events', '') END FROM logged
"""
TAKE = """
SELECT id, id AS outbox_id, exchange, routing_key, message_id, type, source, subject, project_id, request_id,
       operation_id, command_id, traceparent, time, body, position
  FROM bus.outbox WHERE exchange <> 'skybus.events' OR position IS NOT NULL
 ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
"""
DELETE = "DELETE FROM bus.outbox WHERE id = ANY($1::bigint[])"


class Relay:
    """Sends the outbox's messages. `wake` may be called as often as one likes."""

    def __init__(self, store: Store, transport: Transport) -> None:
        self.store = store
        self.transport = transport
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def wake(self) -> None:
        """There is something to send."""
        self._wake.set()

    async def start(self) -> None:
        """Send from now on, woken by this process' commits, by NOTIFY and by a timer."""
        self.store.on_owed = self.wake
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._listen())]

    async def stop(self) -> None:
        """Send what is there, then end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self.store.on_owed = None
        try:
            await asyncio.wait_for(self.drain(), 5)
        except (TimeoutError, BusError, OSError, asyncpg.PostgresError):
            log.info("relay_left_the_rest")

    async def drain(self) -> None:
        """Send until nothing is left that this relay can take."""
        while await self.pass_once():
            pass

    async def pass_once(self) -> int:
        """Number and send at most one batch of each; answer how many messages were sent."""
        numbered = await self.store.fetchval(NUMBER, BATCH)
        async with self.store.transaction() as tx:
            rows = await tx.fetch(TAKE, BATCH)
            if not rows:
                return int(numbered)
            await self._send(rows)
            await tx.execute(DELETE, [row["id"] for row in rows])
        return len(rows)

    async def _send(self, rows: list[Any]) -> None:
        posts = [post_of(row) for row in rows]
        try:
            await self.transport.publish(posts)
        except Unroutable:
            for post in posts:
                try:
                    await self.transport.publish([post])
                except Unroutable as error:
                    # Nobody has that address, now or soon: the operation's deadline deals with it.
                    log.error("message_unroutable", type=post.envelope.type, key=post.key, reason=str(error))

    async def _run(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), SWEEP_SECONDS)
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.drain()
            except asyncio.CancelledError:
                raise
            except (BusError, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("relay_waits", reason=f"{type(error).__name__}: {error}")
                await asyncio.sleep(0.5)

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
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("relay_not_listening", reason=str(error))
                await asyncio.sleep(1)


def post_of(row: Any) -> Post:
    """The message in a row of the outbox, or of the dead letters."""
    # A command's place in the outbox tells its agent which of two about the same thing was ordered later.
    position = row["position"] if row["exchange"] == EVENTS else _outbox_id(row)
    envelope = Envelope(
        id=row["message_id"],
        type=row["type"],
        source=row["source"],
        time=row["time"],
        body=row["body"].encode(),
        subject=row["subject"],
        project_id=row["project_id"],
        request_id=row["request_id"],
        operation_id=row["operation_id"],
        traceparent=row["traceparent"],
        command_id=row["command_id"],
        position=position,
    )
    return Post(exchange=row["exchange"], key=row["routing_key"], envelope=envelope)


def _outbox_id(row: Any) -> int | None:
    return row["outbox_id"] if "outbox_id" in row.keys() else None  # noqa: SIM118 - a Record's `in` looks at values

"""The relay: it sends what committed transactions owe to the bus, and numbers the events.

A process that relays sends its own messages straight from memory, as soon as their transaction has committed, and then
deletes their rows, many at a time. The rows are there for when it dies in between: whatever is older than a few
seconds, and whatever a process without a relay left, is swept up by any relay there is. So a message is sent once or
more.

Events are numbered in a statement of its own before they are published: the head row, locked to its end, makes the
order of positions the order of these statements, and positions have no gaps. A crash after it publishes again under the
same number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import structlog

from skybus import clock
from skybus.bus.envelope import COMMANDS, EVENTS, Envelope, Post
from skybus.bus.transport import BusError, Transport, Unroutable
from skybus.errors import Outage
from skybus.store.store import Store

log = structlog.get_logger()

CHANNEL = "skybus_outbox"
BATCH = 256
SWEEP_SECONDS = 1.0
"""Between two looks for what was left behind."""
ABANDONED_SECONDS = 3.0
"""A row that is older was left behind by a process that died, or could not send."""
NUMBER_SECONDS = 0.015
"""Events that are owed within this time are numbered by one statement."""
DELETE_SECONDS = 0.1
"""Rows of messages that were sent within this time are deleted by one statement."""

_NUMBER = """
, head AS (
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
      FROM numbered RETURNING position
)
SELECT n.id, n.position, CASE WHEN n.id = (SELECT min(id) FROM numbered) THEN pg_notify('skybus_events', '') END
  FROM numbered n WHERE (SELECT count(*) FROM logged) >= 0
"""
NUMBER_OWN = (
    """
WITH fresh AS (
    SELECT id, row_number() OVER (ORDER BY id) AS n
      FROM (SELECT id FROM bus.outbox WHERE id = ANY($1::bigint[]) AND position IS NULL
             ORDER BY id FOR UPDATE SKIP LOCKED) AS locked
)"""
    + _NUMBER
)
NUMBER_LEFT = (
    """
WITH fresh AS (
    SELECT id, row_number() OVER (ORDER BY id) AS n
      FROM (SELECT id FROM bus.outbox
             WHERE exchange = 'skybus.events' AND position IS NULL AND (orphan OR time < $2)
             ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED) AS locked
)"""
    + _NUMBER
)
TAKE_LEFT = """
SELECT id, id AS outbox_id, exchange, routing_key, message_id, type, source, subject, project_id, request_id,
       operation_id, command_id, traceparent, time, body, position
  FROM bus.outbox
 WHERE (exchange <> 'skybus.events' OR position IS NOT NULL) AND (orphan OR time < $2)
 ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
"""
DELETE = "DELETE FROM bus.outbox WHERE id = ANY($1::bigint[])"
# In one round trip, and without waiting for the disk: a deletion that a crash forgets sends a message twice, no more.
DELETE_SOON = """
BEGIN; SET LOCAL synchronous_commit TO off; DELETE FROM bus.outbox WHERE id IN ({ids}); COMMIT
"""

_PASSING = (BusError, Outage, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

Owed = tuple[int, Post]
"""A row of the outbox: its id, and the message."""


class Relay:
    """Sends the outbox's messages. A started relay takes over the messages of its process's transactions."""

    def __init__(self, store: Store, transport: Transport) -> None:
        self.store = store
        self.transport = transport
        self._orders: list[Owed] = []
        self._events: list[Owed] = []
        self._sent: list[int] = []
        self._wake = {name: asyncio.Event() for name in ("orders", "events", "sent", "left")}
        self._tasks: list[asyncio.Task[None]] = []

    def take(self, owed: Sequence[Owed]) -> None:
        """Messages of a transaction that has just committed."""
        for row in owed:
            (self._events if row[1].exchange == EVENTS else self._orders).append(row)
        if self._orders:
            self._wake["orders"].set()
        if self._events:
            self._wake["events"].set()

    async def start(self) -> None:
        """Send from now on."""
        self.store.on_owed = self.take
        lanes: list[Coroutine[Any, Any, None]] = [
            self._lane("orders", self._send_orders),
            self._lane("events", self._send_events),
            self._lane("sent", self._delete_sent),
            self._lane("left", self.drain, SWEEP_SECONDS),
            self._listen(),
        ]
        self._tasks = [asyncio.create_task(lane) for lane in lanes]

    async def stop(self) -> None:
        """Send what is in hand, then end; the rest is for another relay."""
        self.store.on_owed = None
        try:
            async with asyncio.timeout(5):
                await self._send_orders()
                await self._send_events()
                await self._delete_sent()
        except _PASSING:
            log.info("relay_left_the_rest")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def drain(self) -> None:
        """Send everything that others left behind and that this relay can take."""
        while await self._send_left():
            pass

    # --- one's own messages

    async def _send_orders(self) -> None:
        while self._orders:
            owed, self._orders = self._orders[:BATCH], self._orders[BATCH:]
            await self._publish([(id_, _placed(post, id_)) for id_, post in owed])

    async def _send_events(self) -> None:
        if self._tasks:
            await asyncio.sleep(NUMBER_SECONDS)
        while self._events:
            owed, self._events = self._events[:BATCH], self._events[BATCH:]
            rows = await self.store.fetch(NUMBER_OWN, [id_ for id_, _ in owed])
            positions = {row["id"]: row["position"] for row in rows}
            # What is missing was numbered by a sweep, which publishes it too.
            await self._publish([(id_, _placed(post, positions[id_])) for id_, post in owed if id_ in positions])

    async def _publish(self, owed: list[Owed]) -> None:
        await self._send([post for _, post in owed])
        self._sent += [id_ for id_, _ in owed]
        self._wake["sent"].set()

    async def _delete_sent(self) -> None:
        if self._tasks:
            await asyncio.sleep(DELETE_SECONDS)
        if self._sent:
            sent, self._sent = self._sent, []
            await self.store.execute(DELETE_SOON.format(ids=", ".join(str(int(id_)) for id_ in sent)))

    # --- what was left behind

    async def _send_left(self) -> int:
        """Number and send at most one batch; answer how many messages were sent."""
        cutoff = clock.now() - timedelta(seconds=ABANDONED_SECONDS)
        numbered = len(await self.store.fetch(NUMBER_LEFT, BATCH, cutoff))
        async with self.store.transaction() as tx:
            rows = await tx.fetch(TAKE_LEFT, BATCH, cutoff)
            if not rows:
                return numbered
            await self._send([post_of(row) for row in rows])
            await tx.execute(DELETE, [row["id"] for row in rows])
        return len(rows)

    async def _send(self, posts: list[Post]) -> None:
        try:
            await self.transport.publish(posts)
        except Unroutable:
            for post in posts:
                try:
                    await self.transport.publish([post])
                except Unroutable as error:
                    # Nobody has that address, now or soon: the operation's deadline deals with it.
                    log.error("message_unroutable", type=post.envelope.type, key=post.key, reason=str(error))

    # --- lanes

    async def _lane(self, name: str, work: Any, seconds: float | None = None) -> None:
        """Do `work` whenever it is woken, and every `seconds`."""
        wake = self._wake[name]
        while True:
            try:
                await asyncio.wait_for(wake.wait(), seconds)
            except TimeoutError:
                pass
            wake.clear()
            try:
                await work()
            except _PASSING as error:
                # The rows are still there: they will be swept up.
                log.warning("relay_waits", lane=name, reason=f"{type(error).__name__}: {error}")
                await asyncio.sleep(0.5)
            except Exception:
                log.exception("relay_crashed", lane=name)
                await asyncio.sleep(0.5)

    async def _listen(self) -> None:
        """Be woken by processes that have no relay."""
        while True:
            try:
                async with self.store.connection() as conn:
                    await conn.add_listener(CHANNEL, lambda *_: self._wake["left"].set())
                    while not conn.is_closed():
                        await asyncio.sleep(5)
                        await conn.execute("SELECT 1", timeout=5)
            except asyncio.CancelledError:
                raise
            except _PASSING as error:
                log.warning("relay_not_listening", reason=str(error))
                await asyncio.sleep(1)


def _placed(post: Post, number: int) -> Post:
    """The message with its number: an event's position in the log, a command's place in the outbox."""
    if post.exchange not in (EVENTS, COMMANDS):
        return post
    return msgspec.structs.replace(post, envelope=msgspec.structs.replace(post.envelope, position=number))


def post_of(row: Any) -> Post:
    """The message in a row of the outbox, or of the dead letters."""
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
    )
    post = Post(exchange=row["exchange"], key=row["routing_key"], envelope=envelope)
    number = row["position"] if post.exchange == EVENTS else _outbox_id(row)
    return post if number is None else _placed(post, number)


def _outbox_id(row: Any) -> int | None:
    return row["outbox_id"] if "outbox_id" in row.keys() else None  # noqa: SIM118 - a Record's `in` looks at values

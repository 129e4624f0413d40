"""A pool of connections, and transactions that take their messages with them.

Whoever changes the database publishes in the same transaction: the messages go into the outbox with the rows, and the
relay sends them once the commit is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import structlog

from skybus.bus.envelope import ANSWERS, COMMANDS, CONDUCTOR, EVENTS, Post, seal
from skybus.bus.message import Command, Event, Message
from skybus.config import Database
from skybus.errors import CloudError, Outage, Unavailable
from skybus.store.tail import Tail

log = structlog.get_logger()

OWE = """
INSERT INTO bus.outbox (exchange, routing_key, message_id, type, source, subject, project_id, request_id,
                        operation_id, command_id, traceparent, time, body, orphan)
SELECT *, $14::boolean
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
              $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::text[])
RETURNING id, message_id
"""
SETTINGS = {
    # Our statements are short and come again and again: planning each anew costs more than the best plan saves.
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
WAKE = "SELECT pg_notify('skybus_outbox', '')"

_encoder = msgspec.json.Encoder(enc_hook=str)
_STOPPING = (asyncpg.AdminShutdownError, asyncpg.CrashShutdownError)
_DOWN = (
    *_STOPPING,
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
)
"""What connecting to a database that stops, starts or is not there ends in."""
Row = Any
"""An asyncpg.Record: columns by name and by number."""


class Tx:
    """One transaction. Statements go through it; messages wait in it until the end."""

    def __init__(self, conn: Any, source: str) -> None:
        self.conn = conn
        self.source = source
        self.posts: list[Post] = []
        self._locks: set[str] = set()

    async def execute(self, sql: str, *args: Any) -> str:
        """Run a statement; the answer is Postgres' command tag."""
        return str(await self.conn.execute(sql, *args))

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """All rows."""
        return list(await self.conn.fetch(sql, *args))

    async def fetchrow(self, sql: str, *args: Any) -> Row | None:
        """The first row, or None."""
        return await self.conn.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """The first column of the first row, or None."""
        return await self.conn.fetchval(sql, *args)

    async def executemany(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """Run a statement once for each row of arguments."""
        await self.conn.executemany(sql, rows)

    async def lock(self, *names: str) -> None:
        """Hold the advisory lock called by `names` to the end of the transaction."""
        name = "/".join(names)
        if name not in self._locks:
            await self.conn.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", name)
            self._locks.add(name)

    def publish(self, event: Event, **attributes: Any) -> None:
        """Announce a fact if, and only if, this transaction commits. `project_id=` says whose it is if not the
        caller's."""
        self.posts.append(Post(exchange=EVENTS, key=event.TYPE, envelope=seal(event, self.source, **attributes)))

    def send(self, address: str, command: Command, *, command_id: str, **attributes: Any) -> None:
        """Order `command` from the worker at `address`."""
        envelope = seal(command, self.source, command_id=command_id, **attributes)
        self.posts.append(Post(exchange=COMMANDS, key=address, envelope=envelope))

    def tell_conductor(self, message: Message, *, command_id: str = "", **attributes: Any) -> None:
        """Answer a command, or begin an operation."""
        envelope = seal(message, self.source, command_id=command_id, **attributes)
        self.posts.append(Post(exchange=ANSWERS, key=CONDUCTOR, envelope=envelope))

    async def owe(self, *, orphan: bool) -> list[tuple[int, Post]]:
        """Write the waiting messages into the outbox; answer them with the ids of their rows."""
        if not self.posts:
            return []
        columns = [list(column) for column in zip(*map(_columns, self.posts), strict=True)]
        ids = {row["message_id"]: row["id"] for row in await self.conn.fetch(OWE, *columns, orphan)}
        return [(ids[post.envelope.id], post) for post in self.posts]


def _columns(post: Post) -> tuple[Any, ...]:
    e = post.envelope
    return (
        post.exchange,
        post.key,
        e.id,
        e.type,
        e.source,
        e.subject,
        e.project_id,
        e.request_id,
        e.operation_id,
        e.command_id,
        e.traceparent,
        e.time,
        e.body.decode(),
    )


class Store:
    """The database as one process sees it.

    `on_owed` is given the messages of each transaction after its commit: a process that relays has its relay there;
    without one, the relays of other processes are woken by NOTIFY.
    """

    def __init__(self, config: Database, source: str) -> None:
        self.config = config
        self.source = source
        self.on_owed: Callable[[list[tuple[int, Post]]], None] | None = None
        self.tail: Tail | None = None
        """The follower of the event log, in a process that has one."""
        self._pool: Any = None

    async def open(self) -> None:
        """Connect. Raises Unavailable when the database does not answer in time."""
        try:
            self._pool = await asyncpg.create_pool(
                self.config.dsn,
                min_size=1,
                max_size=self.config.pool_size,
                init=_prepare_connection,
                reset=_leave_as_it_is,
                command_timeout=self.config.statement_seconds,
                timeout=10,
                server_settings={**SETTINGS, "application_name": self.source},
            )
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise Unavailable(f"connecting to the database: {type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Disconnect, waiting a moment for statements in hand."""
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), 5)
            except TimeoutError:
                self._pool.terminate()
            self._pool = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection of the pool, for the few that need one. What was changed for its session ends with it."""
        async with self._borrowed() as conn:
            try:
                yield conn
            finally:
                if not _is_gone(conn):
                    await conn.reset(timeout=5)

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[Any]:
        """A connection, back in the pool afterwards. Raises Outage when the database is away, or goes away meanwhile;
        what was being committed then may be there or not."""
        try:
            conn = await self._pool.acquire(timeout=self.config.statement_seconds)
        except _DOWN as error:
            raise Outage("The database does not answer at the moment.") from error
        try:
            yield conn
        except CloudError:
            raise
        except Exception as error:
            if _is_gone(conn) or isinstance(error, _STOPPING) or not await self._give_back(conn):
                raise Outage("The database went away meanwhile.") from error
            raise
        finally:
            await self._give_back(conn)

    async def _give_back(self, conn: Any) -> bool:
        """Give a connection back, or twice; whether it could be. One on which a statement cannot even be cancelled, as
        when the database stands still, is ended by the pool."""
        try:
            await self._pool.release(conn)
        except (TimeoutError, *_DOWN) as error:
            log.info("session_ended", source=self.source, reason=type(error).__name__)
            return False
        return True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """A transaction; it commits, with its messages, when the block ends without an error. Raises Outage when the
        database is away."""
        async with self._borrowed() as conn:
            tx = Tx(conn, self.source)
            async with conn.transaction():
                yield tx
                take = self.on_owed
                owed = await tx.owe(orphan=take is None)
            if owed and take is not None:
                take(owed)
            elif owed:
                await conn.execute(WAKE)

    async def execute(self, sql: str) -> None:
        """Run a script that brings its own transaction; it has no arguments."""
        async with self._borrowed() as conn:
            await conn.execute(sql)

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """All rows of one query, outside a transaction."""
        async with self._borrowed() as conn:
            return list(await conn.fetch(sql, *args))

    async def fetchrow(self, sql: str, *args: Any) -> Row | None:
        """The first row of one query, or None."""
        async with self._borrowed() as conn:
            return await conn.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """The first column of the first row of one query, or None."""
        async with self._borrowed() as conn:
            return await conn.fetchval(sql, *args)


def _is_gone(conn: Any) -> bool:
    """Whether the connection has ended. The pool takes one that ended back by itself, and then it answers nothing."""
    try:
        return bool(conn.is_closed())
    except asyncpg.InterfaceError:
        return True


async def _leave_as_it_is(conn: Any) -> None:
    """Nothing that runs through the store changes a session, so a connection needs no cleaning: that would cost a round
    trip each time. What does change one takes `Store.connection`."""


async def _prepare_connection(conn: Any) -> None:
    """UUIDs are plain text to us, and JSON columns are Python values."""
    await conn.set_type_codec("uuid", schema="pg_catalog", encoder=str, decoder=str, format="text")
    for name in ("json", "jsonb"):
        await conn.set_type_codec(
            name,
            schema="pg_catalog",
            encoder=lambda value: _encoder.encode(value).decode(),
            decoder=msgspec.json.decode,
            format="text",
        )

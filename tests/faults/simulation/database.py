"""Real Postgres under virtual time: every statement runs to its end, or to the lock it waits for, before anything else
happens.

asyncpg runs on a second, real event loop, which turns only inside `Database.run`, while the simulation stands still,
and in empty contexts, since what lives on there must hold on to no simulated life. A
statement that waits for a lock is left waiting in Postgres; it is looked at again after each transaction that ends. So
which statement waits for which, and who goes on when, is decided by Postgres and is the same each time.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import events
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import asyncpg

from simulation.dice import systems_entropy
from skybus.store.store import SETTINGS, _prepare_connection

T = TypeVar("T")

LOOK_SECONDS = 0.01
"""Real time that a statement may take before somebody asks whether it waits for a lock."""
SESSION = {
    **SETTINGS,
    "application_name": "faults",
    # Found here, at once and by ourselves; by Postgres it would be found by the real clock.
    "deadlock_timeout": "1h",
    "max_parallel_workers_per_gather": "0",
    "synchronous_commit": "off",
}


class Backend:
    """A session of Postgres."""

    def __init__(self, conn: Any) -> None:
        self.conn = conn
        self.pid: int = conn.get_server_pid()
        self.waits_for: list[int] = []


class Database:
    """One database, and the real loop that its sessions live on."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.real = asyncio.new_event_loop()
        self.free: list[Backend] = []
        self.all: list[Backend] = []
        self.blocked: dict[Backend, tuple[asyncio.Task[Any], asyncio.Future[Any], bool]] = {}
        """What waits for a lock: the statement, who waits for it, and whether its end ends a transaction."""
        self.monitor = Backend(self.drive(self._connect()))
        self.statements = 0
        self._awaited: asyncio.Task[Any] | None = None
        self.committed: Callable[[list[str]], None] = lambda statements: None
        """Called with the statements of each transaction once it is durable."""

    def drive(self, work: Awaitable[T]) -> T:
        """Turn the real loop until `work` is done."""
        outer = events._get_running_loop()
        events._set_running_loop(None)
        try:
            return contextvars.Context().run(self.real.run_until_complete, work)
        finally:
            events._set_running_loop(outer)

    async def _connect(self) -> Any:
        with systems_entropy():
            conn = await asyncpg.connect(self.dsn, server_settings=SESSION, timeout=30, command_timeout=60)
        await _prepare_connection(conn)
        return conn

    def close(self) -> None:
        """End all sessions."""
        for backend in [*self.all, self.monitor]:
            backend.conn.terminate()
        self.drive(asyncio.sleep(0))
        self.real.close()

    # --- sessions

    def take(self) -> Backend:
        """A session that nobody uses."""
        if self.free:
            return self.free.pop()
        backend = Backend(self.drive(self._connect()))
        self.all.append(backend)
        return backend

    def drop(self, backend: Backend) -> None:
        """The client is gone: what its session was doing is rolled back."""
        self.cancel(backend)
        if backend.conn.is_in_transaction():
            self.drive(backend.conn.execute("ROLLBACK"))
            self._look_again()
        self.free.append(backend)

    def free_all(self) -> None:
        """Nobody uses a session any more."""
        for backend in self.all:
            self.cancel(backend)
        for backend in self.all:
            if backend.conn.is_in_transaction():
                self.drive(backend.conn.execute("ROLLBACK"))
        self.free = self.all[::-1]

    def cancel(self, backend: Backend) -> None:
        """Let the statement in hand fail, if there is one."""
        waiting = self.blocked.pop(backend, None)
        if waiting is None:
            return
        self.ask("SELECT pg_cancel_backend($1)", backend.pid)
        self.drive(asyncio.wait({waiting[0]}))
        waiting[0].exception()
        backend.waits_for = []

    # --- statements

    def ask(self, sql: str, *args: Any) -> Any:
        """A value, through a session of the simulation's own."""
        return self.drive(self.monitor.conn.fetchval(sql, *args))

    def rows(self, sql: str, *args: Any) -> list[Any]:
        """Rows, through a session of the simulation's own."""
        return list(self.drive(self.monitor.conn.fetch(sql, *args)))

    def run(self, backend: Backend, statement: Coroutine[Any, Any, T], *, ends: bool) -> asyncio.Future[T]:
        """Run a statement of a session: the future is done, or its statement waits for a lock. `ends` says that a
        transaction is over with it."""
        self.statements += 1
        future: asyncio.Future[T] = events.get_running_loop().create_future()
        task = self.real.create_task(statement, context=contextvars.Context())
        if self._goes_on(backend, task):
            _hand_over(task, future)
            if ends:
                self._look_again()
            return future
        self.blocked[backend] = (task, future, ends)
        if self._in_a_ring(backend):
            self.cancel(backend)
            future.set_exception(asyncpg.DeadlockDetectedError("deadlock detected"))
        return future

    def _goes_on(self, backend: Backend, task: asyncio.Task[Any]) -> bool:
        """Turn the real loop until the statement is done (true) or waits for a lock (false)."""
        wait = LOOK_SECONDS
        while not self._done_within(task, wait):
            backend.waits_for = self.ask("SELECT pg_blocking_pids($1)", backend.pid)
            if backend.waits_for and not task.done():
                return False
            wait *= 2  # a busy machine, most likely
        backend.waits_for = []
        return True

    def _done_within(self, task: asyncio.Task[Any], seconds: float) -> bool:
        """Turn the real loop until the task is done, no longer than that; whether it is."""
        if not task.done():
            self._awaited = task
            timer = self.real.call_later(seconds, self.real.stop, context=contextvars.Context())
            task.add_done_callback(self._stop, context=contextvars.Context())
            outer = events._get_running_loop()
            events._set_running_loop(None)
            try:
                contextvars.Context().run(self.real.run_forever)
            finally:
                events._set_running_loop(outer)
                timer.cancel()
                self._awaited = None
        return task.done()

    def _stop(self, done: object) -> None:
        # Not when the clock was quicker by a hair: then somebody else turns the loop by now.
        if done is self._awaited:
            self.real.stop()

    def _look_again(self) -> None:
        """After a transaction has ended: who waited for it goes on."""
        progress = True
        while progress:
            progress = False
            for backend, (task, future, ends) in list(self.blocked.items()):
                if backend in self.blocked and self._goes_on(backend, task):
                    del self.blocked[backend]
                    _hand_over(task, future)
                    progress = progress or ends

    def _in_a_ring(self, backend: Backend) -> bool:
        by_pid = {one.pid: one for one in self.blocked}
        seen: set[int] = set()
        ahead = list(backend.waits_for)
        while ahead:
            pid = ahead.pop()
            if pid == backend.pid:
                return True
            if pid not in seen and pid in by_pid:
                seen.add(pid)
                ahead += by_pid[pid].waits_for
        return False


def _hand_over(task: asyncio.Task[T], future: asyncio.Future[T]) -> None:
    error = task.exception()
    if future.done():
        return
    if error is None:
        future.set_result(task.result())
    else:
        future.set_exception(error)


class Fate:
    """What may happen to the statements of a process; this one lets all of them be."""

    def pause(self) -> float:
        """Virtual seconds on the way to the server."""
        return 0.0

    def breaks(self, sql: str) -> bool:
        """Whether the connection is lost now. Asked before the server hears of the statement, and after."""
        return False

    @property
    def away(self) -> bool:
        """Whether the server is down."""
        return False


class Connection:
    """What a pool lends: as much of asyncpg's connection as the store uses."""

    def __init__(self, pool: Pool, backend: Backend) -> None:
        self.pool = pool
        self.backend: Backend | None = backend
        self.depth = 0
        self.said: list[str] = []
        """What this transaction has run so far."""

    def is_closed(self) -> bool:
        """Whether it was lost."""
        return self.backend is None

    async def execute(self, sql: str, *args: Any, timeout: float | None = None) -> Any:
        """As asyncpg's."""
        return await self._run("execute", sql, *args)

    async def executemany(self, sql: str, rows: Any) -> Any:
        """As asyncpg's."""
        return await self._run("executemany", sql, list(rows))

    async def fetch(self, sql: str, *args: Any) -> Any:
        """As asyncpg's."""
        return await self._run("fetch", sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> Any:
        """As asyncpg's."""
        return await self._run("fetchrow", sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """As asyncpg's."""
        return await self._run("fetchval", sql, *args)

    async def add_listener(self, channel: str, callback: Any) -> None:
        """Every notification is lost here: they are hints, and nobody may depend on them."""

    async def reset(self, *, timeout: float | None = None) -> None:
        """Nothing of a session was changed."""

    def transaction(self, *, isolation: str = "", readonly: bool = False) -> Transaction:
        """As asyncpg's."""
        return Transaction(self, isolation, readonly)

    def lose(self) -> None:
        """The connection breaks; the server rolls back what was open."""
        backend, self.backend = self.backend, None
        if backend is not None and not self.pool.over:
            self.pool.database.drop(backend)

    async def _run(self, method: str, sql: str, *args: Any) -> Any:
        database, fate = self.pool.database, self.pool.fate
        self._check()
        await asyncio.sleep(fate.pause())
        if self.backend is None or fate.breaks(sql):
            self._break()
        backend = self.backend
        assert backend is not None
        ends = self.depth == 0 or sql in ("COMMIT", "ROLLBACK")
        self.pool.note(sql)
        try:
            async with asyncio.timeout(self.pool.statement_seconds):
                result = await database.run(backend, getattr(backend.conn, method)(sql, *args), ends=ends)
        except (asyncio.CancelledError, TimeoutError):
            database.cancel(backend)
            raise
        self._heard(sql, ends=ends)
        if self.backend is None or fate.breaks(sql):
            self._break()
        return result

    def _heard(self, sql: str, *, ends: bool) -> None:
        """The server has done it, whether or not anybody learns of that."""
        self.said.append(sql)
        if ends:
            said, self.said = self.said, []
            if sql != "ROLLBACK":
                self.pool.database.committed(said)

    def _check(self) -> None:
        if self.backend is None:
            raise asyncpg.InterfaceError("connection is closed")

    def _break(self) -> None:
        self.lose()
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


class Transaction:
    """BEGIN to COMMIT or ROLLBACK; one inside another is a savepoint."""

    def __init__(self, conn: Connection, isolation: str, readonly: bool) -> None:
        self.conn = conn
        self.begin = "BEGIN" + (f" ISOLATION LEVEL {isolation.replace('_', ' ').upper()}" if isolation else "")
        self.begin += " READ ONLY" if readonly else ""
        self.name = ""

    async def __aenter__(self) -> None:
        if self.conn.depth:
            self.name = f"s{self.conn.depth}"
        self.conn.depth += 1
        try:
            await self.conn.execute(f"SAVEPOINT {self.name}" if self.name else self.begin)
        except BaseException:
            self.conn.depth -= 1
            raise

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self.conn.is_closed():
            self.conn.depth -= 1
            if kind is GeneratorExit:
                return
            raise asyncpg.InterfaceError("the underlying connection is closed")
        try:
            if self.name:
                words = "RELEASE SAVEPOINT" if kind is None else "ROLLBACK TO"
                await self.conn.execute(f"{words} {self.name}")
            else:
                await self.conn.execute("COMMIT" if kind is None else "ROLLBACK")
        finally:
            self.conn.depth -= 1


class Pool:
    """The pool of one process, of `size` connections."""

    def __init__(
        self, database: Database, fate: Fate, size: int, statement_seconds: float, note: Callable[[str], None]
    ) -> None:
        self.database, self.fate, self.note = database, fate, note
        self.statement_seconds = statement_seconds
        self.lent: list[Connection] = []
        self.over = False
        """Its process is gone, and garbage holds what it had lent."""
        self._room = asyncio.Semaphore(size)

    async def acquire(self, *, timeout: float | None = None) -> Connection:
        """A connection. Raises TimeoutError, and OSError while the server is away."""
        async with asyncio.timeout(timeout):
            await self._room.acquire()
        try:
            if self.fate.away:
                await asyncio.sleep(self.fate.pause())
                raise ConnectionRefusedError("the database is away")
            conn = Connection(self, self.database.take())
        except BaseException:
            self._room.release()
            raise
        self.lent.append(conn)
        return conn

    async def release(self, conn: Connection) -> None:
        """Back into the pool; what was left open is rolled back."""
        if conn in self.lent:
            self.lent.remove(conn)
            conn.lose()
            self._room.release()

    def lose_all(self) -> None:
        """Every connection breaks."""
        for conn in list(self.lent):
            conn.lose()

    async def close(self) -> None:
        """End."""
        self.terminate()

    def terminate(self) -> None:
        """End at once."""
        self.lose_all()
        self.over = True

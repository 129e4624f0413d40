"""What callers of the store hear when the database goes away, and that it serves them again once it is back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import msgspec
import pytest

from skybus.config import Database
from skybus.errors import Outage
from skybus.messages.compute import HostChanged
from skybus.store import Store

KILL_OTHERS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def kill_connections(store: Store) -> None:
    """End every session of the store's database, as a database that stops does."""
    admin = await asyncpg.connect(store.config.dsn)
    try:
        await admin.execute(KILL_OTHERS)
    finally:
        await admin.close()


async def test_a_connection_that_ends_in_a_transaction_is_an_outage_and_nothing_of_it_stays(store: Store) -> None:
    async def interrupted() -> None:
        async with store.transaction() as tx:
            tx.publish(HostChanged(host="h1", change="up"))
            await kill_connections(store)
            await tx.fetchval("SELECT 1")

    with pytest.raises(Outage):
        await interrupted()
    assert await store.fetchval("SELECT count(*) FROM bus.outbox") == 0


async def test_a_connection_that_ends_before_the_commit_is_an_outage(store: Store) -> None:
    async def interrupted() -> None:
        async with store.transaction() as tx:
            await tx.fetchval("SELECT 1")
            await kill_connections(store)

    with pytest.raises(Outage):
        await interrupted()


async def test_a_query_that_is_running_when_the_database_stops_is_an_outage(store: Store) -> None:
    query = asyncio.create_task(store.fetchval("SELECT pg_sleep(30)"))
    async with asyncio.timeout(10):
        while not query.done():
            await kill_connections(store)
            await asyncio.sleep(0.05)
    assert isinstance(query.exception(), Outage)


async def test_a_mistake_in_sql_is_no_outage(store: Store) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await store.fetch("SELECT 1 FROM nowhere")


async def test_a_database_that_cannot_be_reached_is_an_outage(store: Store, unused_tcp_port: int) -> None:
    away = Store(Database(dsn=store.config.dsn), "test")
    await away.open()
    try:
        await away._pool.expire_connections()
        away._pool.set_connect_args(host="127.0.0.1", port=unused_tcp_port)
        with pytest.raises(Outage):
            await away.fetchval("SELECT 1")
    finally:
        await away.close()


async def test_a_session_that_stands_still_is_an_outage(store: Store) -> None:
    still = Store(msgspec.structs.replace(store.config, statement_seconds=1), "test")
    await still.open()
    try:
        async with stopped(await still.fetchval("SELECT pg_backend_pid()")):
            with pytest.raises(Outage):
                await still.fetchval("SELECT 1")
        assert await still.fetchval("SELECT 1") == 1
    finally:
        await still.close()


async def test_a_statement_that_takes_too_long_is_no_outage(store: Store) -> None:
    hasty = Store(msgspec.structs.replace(store.config, statement_seconds=1), "test")
    await hasty.open()
    try:
        with pytest.raises(TimeoutError):
            await hasty.fetchval("SELECT pg_sleep(30)")
    finally:
        await hasty.close()


@asynccontextmanager
async def stopped(pid: int) -> AsyncIterator[None]:
    """The process stands still meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)

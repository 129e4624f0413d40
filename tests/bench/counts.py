"""How many SQL statements and messages one boot takes: counted, not estimated, in a pass of its own."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg

from bench.figures import Figures
from bench.site import Site
from bench.storms import Storms
from skybus.bus.envelope import ANSWERS, COMMANDS, CONDUCTOR, EVENTS

BOOTS = 100
AGENTS = ("compute", "network", "volume")
STATEMENT = re.compile(r"^.*?~(?P<who>[^~]*)~ LOG:  (?:execute [^:]*|statement): (?P<sql>.*)", re.MULTILINE)
PREFIX = "'%m [%p] ~%a~ '"
"""Of the database's log while we count: who speaks."""
SETTLE_SECONDS = 1.0
"""How long what follows a boot (deletion of sent messages, metering) may take."""


@asynccontextmanager
async def statements(site: Site) -> AsyncIterator[Counter[str]]:
    """Counts the statements of each process while the block runs; filled when it has ended.

    Postgres is told to log every statement, and its log is read: that needs no extension and no restart.
    """
    log = site.state / "log" / "postgres.log"
    counted: Counter[str] = Counter()
    conn = await asyncpg.connect(site.admin_dsn, timeout=10)
    try:
        await _settings(conn, "SET log_statement = 'all'", f"SET log_line_prefix = {PREFIX}")
        at = log.stat().st_size
        yield counted
        await _settings(conn, "RESET log_statement", "RESET log_line_prefix")
        counted.update(match["who"] for match in STATEMENT.finditer(_from(log, at)) if match["who"])
    finally:
        await _settings(conn, "RESET log_statement", "RESET log_line_prefix")
        await conn.close()


async def _settings(conn: asyncpg.Connection[Any], *changes: str) -> None:
    for change in changes:
        await conn.execute(f"ALTER SYSTEM {change}", timeout=10)
    await conn.execute("SELECT pg_reload_conf()", timeout=10)
    # Each backend looks at its settings before its next statement; the server itself needs a moment to tell them.
    await asyncio.sleep(SETTLE_SECONDS)


def _from(path: Path, position: int) -> str:
    with path.open("rb") as file:
        file.seek(position)
        return file.read().decode(errors="replace")


@asynccontextmanager
async def messages(site: Site, hosts: list[str]) -> AsyncIterator[Counter[str]]:
    """Counts the messages that pass, by exchange: a queue of our own is bound to all that they go to."""
    counted: Counter[str] = Counter()
    connection = await aio_pika.connect(site.config.bus.url, timeout=10)
    try:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True, auto_delete=True, timeout=10)
        await queue.bind(EVENTS, "#", timeout=10)
        await queue.bind(ANSWERS, CONDUCTOR, timeout=10)
        await queue.bind(COMMANDS, "scheduler", timeout=10)
        for host in hosts:
            await asyncio.gather(*(queue.bind(COMMANDS, f"{kind}.{host}", timeout=30) for kind in AGENTS))

        async def count(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            type_ = str(message.type)
            counted["report" if ".report." in type_ else str(message.exchange).removeprefix("skybus.")] += 1

        await queue.consume(count, no_ack=True)
        yield counted
    finally:
        await connection.close()


async def count_boot(storms: Storms, site: Site, hosts: list[str], figures: Figures) -> None:
    """Statements and messages of `BOOTS` boots, each divided by their number."""
    async with messages(site, hosts) as sent, statements(site) as said:
        servers = await storms.boot(BOOTS, 20)
        await asyncio.sleep(SETTLE_SECONDS)
        per_boot = {kind: number / BOOTS for kind, number in sent.items() if kind != "report"}
    figures.add("boot.messages", "each", sum(per_boot.values()), **per_boot)
    each = {who: number / BOOTS for who, number in said.items()}
    figures.add("boot.statements", "each", sum(each.values()), **each)
    await storms.delete(servers, 20)

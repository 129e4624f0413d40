"""Bringing the database's schema up to date: the numbered files under schemas/sql, forward only."""

from __future__ import annotations

import hashlib
from pathlib import Path

import asyncpg
import structlog

log = structlog.get_logger()

FOLDER = Path(__file__).resolve().parents[3] / "schemas" / "sql"
LOCK = 0x5B_0B_05
"""Advisory lock: two processes do not migrate at once."""

LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migration (
    name       text PRIMARY KEY,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(Exception):
    """The database cannot be brought to this version; the message names the file."""


def files(folder: Path = FOLDER) -> list[tuple[str, str]]:
    """Every migration, (name, text), in order."""
    return [(path.name, path.read_text()) for path in sorted(folder.glob("[0-9]*.sql"))]


async def migrate(dsn: str, folder: Path = FOLDER) -> list[str]:
    """Apply what is missing, each file in a transaction of its own; answer their names.

    Raises MigrationError when a file that was applied earlier has changed since.
    """
    conn = await asyncpg.connect(dsn, timeout=10)
    applied = []
    try:
        await conn.execute("SELECT pg_advisory_lock($1)", LOCK)
        await conn.execute(LEDGER)
        known = {row["name"]: row["sha256"] for row in await conn.fetch("SELECT name, sha256 FROM schema_migration")}
        for name, text in files(folder):
            digest = hashlib.sha256(text.encode()).hexdigest()
            if name in known:
                if known[name] != digest:
                    raise MigrationError(f"{name} was changed after it had been applied")
                continue
            async with conn.transaction():
                await conn.execute(text)
                await conn.execute("INSERT INTO schema_migration (name, sha256) VALUES ($1, $2)", name, digest)
            applied.append(name)
    finally:
        await conn.close(timeout=5)
    return applied

"""Pools: what storage hosts have, as they report it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skybus import clock
from skybus.messages.volume import PoolReport

HEARD = """
INSERT INTO volume.pool (host, capacity_gib, free_gib, taken_at, heard_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (host) DO UPDATE SET capacity_gib = $2, free_gib = $3, taken_at = $4, heard_at = $5
 WHERE pool.taken_at <= $4
"""
ALIVE = "UPDATE volume.pool SET heard_at = $2 WHERE host = ANY($1::text[])"
ALL = "SELECT host, capacity_gib, free_gib, heard_at FROM volume.pool ORDER BY host"


async def pool_heard(tx: Any, report: PoolReport) -> None:
    """Note what a host reported; a report that is older than what we know changes nothing."""
    await tx.execute(HEARD, report.host, report.capacity_gib, report.free_gib, report.taken_at, clock.now())


async def pools_alive(tx: Any, hosts: Sequence[str]) -> None:
    """The agents of these hosts were heard; what their pools hold they say another time."""
    await tx.execute(ALIVE, list(hosts), clock.now())


async def pool_list(store: Any) -> Sequence[Any]:
    """Rows of all pools: host, capacity_gib, free_gib, heard_at."""
    rows: Sequence[Any] = await store.fetch(ALL)
    return rows

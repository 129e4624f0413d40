"""The last report of each agent, kept so that `skybus doctor` can hold the database against it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from skybus.messages.compute import HypervisorReport
from skybus.messages.network import NetworkReport
from skybus.messages.volume import PoolReport
from skybus.store import Tx

KEEP = """
INSERT INTO conductor.host_report (kind, host, report, taken_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (kind, host) DO UPDATE SET report = EXCLUDED.report, taken_at = EXCLUDED.taken_at
 WHERE host_report.taken_at < EXCLUDED.taken_at
"""
HOLD = """
UPDATE conductor.host_report r SET taken_at = greatest(r.taken_at, a.taken_at)
  FROM (SELECT kind, host, max(taken_at) AS taken_at
          FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS asked (kind, host, taken_at) GROUP BY kind, host) a
 WHERE (r.kind, r.host) = (a.kind, a.host)
"""
LAST = "SELECT report, taken_at FROM conductor.host_report WHERE kind = $1 AND host = $2"
GUEST_ON = """
SELECT r.host FROM conductor.host_report r, jsonb_array_elements(r.report -> 'guests') AS guest
 WHERE r.kind = 'compute' AND guest ->> 'server_id' = $1 AND guest ->> 'power_state' <> 'absent'
"""
EXPORT_ON = """
SELECT r.host FROM conductor.host_report r, jsonb_array_elements(r.report -> 'exports') AS export
 WHERE r.kind = 'volume' AND export ->> 'volume_id' = $1
"""
KINDS = {"compute": HypervisorReport, "network": NetworkReport, "volume": PoolReport}


async def report_last(tx: Tx, kind: str, host: str) -> Any:
    """The newest report of an agent, as of when it was last known to be true; None when it never reported. What is done
    when a host has just come up was done when it said so."""
    row = await tx.fetchrow(LAST, kind, host)
    if row is None:
        return None
    return msgspec.structs.replace(msgspec.convert(row["report"], KINDS[kind]), taken_at=row["taken_at"], started=False)


async def guest_seen_on(tx: Tx, server_id: str) -> set[str]:
    """The hosts that last reported a guest of the server."""
    return {row["host"] for row in await tx.fetch(GUEST_ON, server_id)}


async def export_seen_on(tx: Tx, volume_id: str) -> set[str]:
    """The hosts that last reported an export of the volume."""
    return {row["host"] for row in await tx.fetch(EXPORT_ON, volume_id)}


async def report_keep(
    tx: Tx, kind: Literal["compute", "network", "volume"], report: HypervisorReport | NetworkReport | PoolReport
) -> None:
    """Keep `report` as the newest of its agent; one that is older than what we have changes nothing."""
    await tx.execute(KEEP, kind, report.host, msgspec.to_builtins(report), report.taken_at)


async def reports_hold(tx: Tx, beats: Sequence[tuple[str, str, datetime]]) -> None:
    """The last report of each (kind, host, then) was still true then."""
    if beats:
        await tx.execute(HOLD, *map(list, zip(*beats, strict=True)))

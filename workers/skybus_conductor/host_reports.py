"""The last report of each agent, kept so that `skybus doctor` can hold the database against it."""

from __future__ import annotations

from typing import Literal

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


async def report_keep(
    tx: Tx, kind: Literal["compute", "network", "volume"], report: HypervisorReport | NetworkReport | PoolReport
) -> None:
    """Keep `report` as the newest of its agent; one that is older than what we have changes nothing."""
    await tx.execute(KEEP, kind, report.host, msgspec.to_builtins(report), report.taken_at)

"""What must be true once a cloud is at rest, whatever was done to it."""

from __future__ import annotations

from typing import Any

from shaken_cloud import AT_WORK, ShakenCloud, empty

FAILED = "SELECT kind, resource_id, error FROM saga.operation WHERE state = 'failed'"
UNEXPLAINED = """
SELECT id, state, fault_message FROM compute.server
 WHERE state = 'BUILD' OR (state = 'ERROR' AND coalesce(fault_message, '') = '')
"""
MISNUMBERED = """
SELECT count(*) AS events, min(position) AS first, max(position) AS last, (SELECT position FROM bus.event_head) AS head
  FROM bus.event
HAVING count(DISTINCT position) <> (SELECT position FROM bus.event_head) OR min(position) <> 1
    OR max(position) <> (SELECT position FROM bus.event_head)
"""
UNSENT = "SELECT id, type FROM bus.outbox"
DEAD = "SELECT id, type, queue FROM bus.dead_letter"
MISMETERED = """
SELECT s.id, s.state, e.started_at, e.ended_at
  FROM compute.server s JOIN metering.existence e ON e.resource_type = 'server' AND e.resource_id = s.id
 WHERE (e.ended_at IS NULL) = s.deleted OR e.ended_at < e.started_at
 UNION ALL
SELECT s.id, s.state, NULL, NULL FROM compute.server s
 WHERE s.state = 'ACTIVE' AND NOT EXISTS (
       SELECT 1 FROM metering.existence e WHERE e.resource_type = 'server' AND e.resource_id = s.id)
"""


async def check(cloud: ShakenCloud, *, known: list[dict[str, Any]] | None = None, seconds: float = 60) -> None:
    """Nothing is stuck, lost or leaked. `known` are operations that had failed before. Raises AssertionError with what
    is wrong once `seconds` are over, for things that take their time; at once for what never heals."""
    await empty("operations at work", lambda: cloud.rows(AT_WORK), seconds)
    failed = [row for row in await cloud.rows(FAILED) if row not in (known or [])]
    assert (failed, await cloud.rows(UNEXPLAINED), await cloud.rows(DEAD)) == ([], [], [])
    for sql in (UNSENT, MISNUMBERED, MISMETERED):
        await empty("rows of" + sql, lambda sql=sql: cloud.rows(sql), 15)  # type: ignore[misc]
    # What hosts report is as old as their last heartbeat.
    await empty("disagreements", cloud.doctor, 45)

"""The event log's two ends: its head, which numbers the next event, and its oldest event, which retention moves on."""

from __future__ import annotations

from datetime import datetime

from skybus.store.store import Store, Tx

OLDEST = "SELECT coalesce((SELECT min(position) FROM bus.event), (SELECT position + 1 FROM bus.event_head))"
# The oldest alone are looked at, however long the log is; its newest event stays, so that the log never looks empty.
FORGET = """
DELETE FROM bus.event e USING (SELECT position FROM bus.event ORDER BY position LIMIT $2) AS oldest
 WHERE e.position = oldest.position AND e.time < $1 AND e.position < (SELECT max(position) FROM bus.event)
"""
RAISE = """
UPDATE bus.event_head SET position = last.position FROM (SELECT max(position) AS position FROM bus.event) AS last
 WHERE event_head.position < last.position RETURNING event_head.position
"""


async def events_oldest(store: Store | Tx) -> int:
    """The position of the oldest event that is kept; of the next one while there is none."""
    return int(await store.fetchval(OLDEST))


async def events_forget(tx: Tx, before: datetime, limit: int) -> int:
    """Delete those of the `limit` oldest events that are older than a moment; answer how many. Positions are never
    used again."""
    return int((await tx.execute(FORGET, before, limit)).rpartition(" ")[2])


async def head_raise(tx: Tx) -> int | None:
    """Bring the head up to the newest event when it is behind it, for then nothing can be numbered; answer where it is
    now, None when it was right."""
    raised = await tx.fetchval(RAISE)
    return None if raised is None else int(raised)

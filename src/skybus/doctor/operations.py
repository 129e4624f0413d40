"""Operations, messages, and resources that wait for an operation which is not there: nothing is ever stuck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from skybus import clock
from skybus.doctor.finding import Finding, idle, parked
from skybus.http.times import micros_z
from skybus.saga.ended import operations_parked
from skybus.store import Tx

LATE = timedelta(seconds=60)
"""How long after its deadline an operation should have been moved on."""
OWED = timedelta(seconds=30)
"""How long a message may wait in the outbox."""
LOOKED_AT = 100_000
"""Events that are counted, however long the log is."""
LOST = "whoever follows the log has to read the state of the cloud anew"

STUCK = """
SELECT o.id, o.kind, o.resource_type, o.resource_id, o.state, o.step, o.deadline
  FROM saga.operation o
 WHERE (o.state IN ('running', 'undoing') AND (o.deadline IS NULL OR o.deadline < $1))
    OR (o.state = 'waiting' AND o.updated_at < $1 AND NOT EXISTS (
        SELECT FROM saga.operation r
         WHERE r.resource_type = o.resource_type AND r.resource_id = o.resource_id AND r.exclusive
           AND r.state IN ('running', 'undoing')))
 ORDER BY o.id
"""
OUTBOX = "SELECT count(*) AS messages, min(time) AS oldest FROM bus.outbox WHERE time < $1"
GAPS = """
SELECT e.oldest, e.newest, e.newest - e.oldest + 1 - e.count AS missing
  FROM (SELECT count(*) AS count, min(position) AS oldest, max(position) AS newest
          FROM bus.event WHERE position > (SELECT max(position) FROM bus.event) - $1) AS e
 WHERE e.newest - e.oldest + 1 > e.count
"""
HEAD = """
SELECT h.position, coalesce((SELECT max(position) FROM bus.event), 0) AS last
  FROM bus.event_head h WHERE h.position <> coalesce((SELECT max(position) FROM bus.event), 0)
"""
DEAD = """
SELECT id, type, queue, reason, died_at FROM bus.dead_letter
 WHERE replayed_at IS NULL AND discarded_at IS NULL ORDER BY died_at
"""
ABANDONED = f"""
SELECT s.id, 'server' AS kind, coalesce(s.task_state, s.state) AS state, {parked("server", "s.id")} AS parked
  FROM compute.server s
 WHERE NOT s.deleted AND (s.task_state IS NOT NULL OR s.state = 'BUILD') AND {idle("server", "s.id")}
UNION ALL
SELECT v.id, 'volume', v.status, {parked("volume", "v.id")}
  FROM volume.volume v
 WHERE v.status IN ('creating', 'attaching', 'detaching', 'deleting') AND {idle("volume", "v.id")}
   AND NOT EXISTS (SELECT FROM volume.attachment a WHERE a.volume_id = v.id AND NOT {idle("server", "a.server_id")})
"""


async def operations_failed(db: Tx) -> Sequence[Finding]:
    """No operation is parked because its undo would not work."""
    return [
        Finding(
            what=f"operation {row['id']}",
            says=f"{_about(row)} could not be undone: {_reason(row['error'] or {})}",
            advice=f"remove the cause and `skybus operations retry {row['id']}`; or see to what it left by hand and "
            "`skybus operations acknowledge` it with a reason",
        )
        for row in await operations_parked(db)
    ]


async def operations_stuck(db: Tx) -> Sequence[Finding]:
    """A conductor moves every operation on when its deadline has passed."""
    return [
        Finding(
            what=f"operation {row['id']}",
            says=f"{_about(row)} is {row['state']} at step {row['step']}, deadline {micros_z(row['deadline'])}",
            repair=("begin-waiting", row["id"]) if row["state"] == "waiting" else (),
            advice="" if row["state"] == "waiting" else "see that a conductor runs, and what its log says of this one",
        )
        for row in await db.fetch(STUCK, clock.now() - LATE)
    ]


async def resources_abandoned(db: Tx) -> Sequence[Finding]:
    """What is on its way from one state to another has an operation that brings it there."""
    return [
        Finding(
            what=f"{row['kind']} {row['id']}",
            says=f"is {row['state']}, and no operation works on it",
            repair=() if row["parked"] else (f"take-up-{row['kind']}", row["id"]),
            advice=f"first decide about the operation {row['parked']}, which is parked" if row["parked"] else "",
        )
        for row in await db.fetch(ABANDONED)
    ]


async def outbox_waiting(db: Tx) -> Sequence[Finding]:
    """What was committed is sent."""
    row = (await db.fetch(OUTBOX, clock.now() - OWED))[0]
    if not row["messages"]:
        return []
    says = f"{row['messages']} messages wait, the oldest since {micros_z(row['oldest'])}"
    return [Finding(what="outbox", says=says, advice="see that a gateway or a conductor runs and reaches the broker")]


async def events_numbered(db: Tx) -> Sequence[Finding]:
    """The head of the event log is its newest event."""
    return [
        Finding(
            what="event log",
            says=f"its head is {row['position']}, and its last event is {row['last']}",
            repair=("raise-head",) if row["position"] < row["last"] else (),
            advice="" if row["position"] < row["last"] else f"events were lost, as by an incomplete restore: {LOST}",
        )
        for row in await db.fetch(HEAD)
    ]


async def events_whole(db: Tx) -> Sequence[Finding]:
    """The newest 100,000 events have no gap."""
    return [
        Finding(
            what="event log",
            says=f"from {row['oldest']} to {row['newest']}, {row['missing']} events are missing",
            advice=f"events were lost, as by an incomplete restore: {LOST}",
        )
        for row in await db.fetch(GAPS, LOOKED_AT)
    ]


async def dead_letters(db: Tx) -> Sequence[Finding]:
    """No message waits for somebody to look at it."""
    return [
        Finding(
            what=f"dead letter {row['id']}",
            says=f"{row['type']} in {row['queue']}: {row['reason']}",
            advice=f"`skybus dead-letters show {row['id']}`, then `replay` it or `discard` it with a reason",
        )
        for row in await db.fetch(DEAD)
    ]


def _reason(error: Mapping[str, Any]) -> str:
    return str((error.get("undo") or error).get("reason"))


def _about(row: Mapping[str, Any]) -> str:
    return f"{row['kind']} on {row['resource_type']} {row['resource_id']}"

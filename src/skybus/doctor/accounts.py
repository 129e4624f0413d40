"""Claims, inventories and metering against servers and volumes: what is counted is what is there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from skybus import clock
from skybus.doctor.finding import Finding, idle
from skybus.placement.claims import claim_drift
from skybus.store import Tx

METERING_GRACE = timedelta(seconds=120)
"""How late metering may hear of a beginning or an end."""

OVERSOLD = """
SELECT kind, host, resource_class, used, floor((total - reserved) * allocation_ratio)::bigint AS room
  FROM placement.inventory WHERE used > floor((total - reserved) * allocation_ratio)
"""
ORPHANS = f"""
SELECT DISTINCT a.kind, a.host, a.consumer_id
  FROM placement.allocation a
  LEFT JOIN compute.server s ON a.kind = 'compute' AND s.id = a.consumer_id AND NOT s.deleted AND s.host IS NOT NULL
  LEFT JOIN volume.volume v ON a.kind = 'volume' AND v.id = a.consumer_id AND v.deleted_at IS NULL
                           AND v.host IS NOT NULL
 WHERE s.id IS NULL AND v.id IS NULL
   AND {idle("server", "a.consumer_id")} AND {idle("volume", "a.consumer_id")}
"""
UNCLAIMED = f"""
SELECT s.id, s.host, w.resource_class, w.amount, a.host AS claimed_on, a.amount AS claimed
  FROM compute.server s
 CROSS JOIN LATERAL (VALUES ('VCPU', s.vcpus), ('MEMORY_MB', s.memory_mib), ('DISK_GB', s.disk_gib))
            AS w (resource_class, amount)
  LEFT JOIN placement.allocation a ON a.consumer_id = s.id AND a.resource_class = w.resource_class
 WHERE NOT s.deleted AND s.host IS NOT NULL AND w.amount > 0
   AND (a.host IS DISTINCT FROM s.host OR a.amount IS DISTINCT FROM w.amount) AND {idle("server", "s.id")}
"""
UNMETERED = f"""
SELECT s.id, 'server' AS kind, 'exists and is not metered' AS says
  FROM compute.server s
  LEFT JOIN metering.existence e ON e.resource_type = 'server' AND e.resource_id = s.id AND e.started_at IS NOT NULL
 WHERE NOT s.deleted AND s.launched_at < $1 AND e.resource_id IS NULL
UNION ALL
SELECT v.id, 'volume', 'exists and is not metered'
  FROM volume.volume v
  LEFT JOIN metering.existence e ON e.resource_type = 'volume' AND e.resource_id = v.id AND e.started_at IS NOT NULL
 WHERE v.status IN ('available', 'in-use') AND v.created_at < $1 AND e.resource_id IS NULL AND {idle("volume", "v.id")}
UNION ALL
SELECT s.id, 'server', 'is gone and still metered'
  FROM compute.server s
  JOIN metering.existence e ON e.resource_type = 'server' AND e.resource_id = s.id
 WHERE s.terminated_at < $1 AND e.started_at IS NOT NULL AND e.ended_at IS NULL
UNION ALL
SELECT v.id, 'volume', 'is gone and still metered'
  FROM volume.volume v
  JOIN metering.existence e ON e.resource_type = 'volume' AND e.resource_id = v.id
 WHERE v.deleted_at < $1 AND e.started_at IS NOT NULL AND e.ended_at IS NULL
"""


async def inventory_used(db: Tx) -> Sequence[Finding]:
    """What an inventory says is used is the sum of its claims."""
    return [
        Finding(
            what=f"{row['kind']} host {row['host']}",
            says=f"{row['used']} {row['resource_class']} used, and {row['claimed']} claimed",
            repair=("recount",),
        )
        for row in await claim_drift(db)
    ]


async def inventory_room(db: Tx) -> Sequence[Finding]:
    """No host has promised more than it may: it can, when it came back smaller than it was."""
    return [
        Finding(
            what=f"{row['kind']} host {row['host']}",
            says=f"{row['used']} {row['resource_class']} claimed, and {row['room']} may be",
            advice="it takes nothing new as it is; delete or move something, or give the host back what it had",
        )
        for row in await db.fetch(OVERSOLD)
    ]


async def claims_of_nobody(db: Tx) -> Sequence[Finding]:
    """Every claim is a live server's or volume's."""
    return [
        Finding(
            what=f"claim of {row['consumer_id']}",
            says=f"holds {row['kind']} room on {row['host']} for nobody",
            repair=("release-claims", row["kind"]),
        )
        for row in await db.fetch(ORPHANS)
    ]


async def servers_unclaimed(db: Tx) -> Sequence[Finding]:
    """Every server on a host claims there what its flavor says."""
    return [
        Finding(
            what=f"server {row['id']}",
            says=f"needs {row['amount']} {row['resource_class']} on {row['host']}, and claims "
            + (f"{row['claimed']} on {row['claimed_on']}" if row["claimed_on"] else "none"),
            repair=("claim", row["id"]),
        )
        for row in await db.fetch(UNCLAIMED)
    ]


async def metering_gaps(db: Tx) -> Sequence[Finding]:
    """What exists is metered, and what is gone is not."""
    rows = await db.fetch(UNMETERED, clock.now() - METERING_GRACE)
    return [
        Finding(what=f"{row['kind']} {row['id']}", says=row["says"], repair=(f"meter-{row['kind']}", row["id"]))
        for row in rows
    ]

"""What the hosts last reported against what the database says is on them.

Only what has not changed since the report was taken, and what no operation works on, is compared. Ids are compared as
text: a host is not trusted to send real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skybus.doctor.finding import Check, Finding, idle
from skybus.http.times import micros_z
from skybus.store import Tx

SILENT = """
SELECT p.kind, p.host, p.last_seen, p.up, r.host IS NULL AS unreported
  FROM placement.provider p LEFT JOIN conductor.host_report r ON (r.kind, r.host) = (p.kind, p.host)
 WHERE NOT p.up OR r.host IS NULL ORDER BY p.kind, p.host
"""
GUESTS = f"""
WITH seen AS (
    SELECT r.host, r.taken_at, guest ->> 'server_id' AS server_id, guest ->> 'power_state' AS power
      FROM conductor.host_report r, jsonb_array_elements(r.report -> 'guests') AS guest
     WHERE r.kind = 'compute' AND guest ->> 'power_state' <> 'absent'
), expected AS (
    SELECT s.id::text AS server_id, s.host, s.state
      FROM compute.server s JOIN conductor.host_report r ON r.kind = 'compute' AND r.host = s.host
     WHERE NOT s.deleted AND s.state IN ('ACTIVE', 'SHUTOFF') AND s.updated_at < r.taken_at
)
SELECT coalesce(e.server_id, g.server_id) AS server_id, coalesce(e.host, g.host) AS host, e.state, g.power,
       s.host AS real_host, s.state AS real_state, s.id IS NULL AS unknown, s.deleted AS gone
  FROM expected e FULL JOIN seen g ON g.server_id = e.server_id AND g.host = e.host
  LEFT JOIN compute.server s ON s.id::text = coalesce(e.server_id, g.server_id)
 WHERE {idle("server", "coalesce(e.server_id, g.server_id)")}
   AND CASE WHEN g.server_id IS NULL THEN true
            WHEN e.server_id IS NULL THEN
                 s.id IS NULL OR (s.updated_at < g.taken_at AND (s.deleted OR s.host IS DISTINCT FROM g.host))
            ELSE (e.state = 'ACTIVE') <> (g.power IN ('running', 'paused')) END
 ORDER BY 2, 1
"""
PORTS = f"""
WITH seen AS (
    SELECT r.host, r.taken_at, port ->> 'port_id' AS port_id
      FROM conductor.host_report r, jsonb_array_elements(r.report -> 'ports') AS port WHERE r.kind = 'network'
), expected AS (
    SELECT p.id::text AS port_id, p.host
      FROM network.port p JOIN conductor.host_report r ON r.kind = 'network' AND r.host = p.host
     WHERE p.status = 'ACTIVE' AND p.updated_at < r.taken_at
)
SELECT coalesce(e.port_id, w.port_id) AS port_id, coalesce(e.host, w.host) AS host, w.port_id IS NOT NULL AS wired,
       p.id IS NOT NULL AS known
  FROM expected e FULL JOIN seen w ON w.port_id = e.port_id AND w.host = e.host
  LEFT JOIN network.port p ON p.id::text = coalesce(e.port_id, w.port_id)
 WHERE (w.port_id IS NULL
        OR e.port_id IS NULL AND (p.id IS NULL OR (p.host <> w.host AND p.updated_at < w.taken_at)))
   AND {idle("server", "p.server_id")}
 ORDER BY 2, 1
"""
VOLUMES = f"""
WITH seen AS (
    SELECT r.host, r.taken_at, id AS volume_id
      FROM conductor.host_report r, jsonb_array_elements_text(r.report -> 'volumes') AS id WHERE r.kind = 'volume'
), expected AS (
    SELECT v.id::text AS volume_id, v.host
      FROM volume.volume v JOIN conductor.host_report r ON r.kind = 'volume' AND r.host = v.host
     WHERE v.status IN ('available', 'attaching', 'in-use', 'detaching')
       AND coalesce(v.updated_at, v.created_at) < r.taken_at
)
SELECT coalesce(e.volume_id, n.volume_id) AS volume_id, coalesce(e.host, n.host) AS host,
       n.volume_id IS NOT NULL AS there, v.id IS NOT NULL AS known, v.status, v.host IS NOT NULL AS placed
  FROM expected e FULL JOIN seen n ON n.volume_id = e.volume_id AND n.host = e.host
  LEFT JOIN volume.volume v ON v.id::text = coalesce(e.volume_id, n.volume_id)
 WHERE {idle("volume", "coalesce(e.volume_id, n.volume_id)")}
   AND (n.volume_id IS NULL
        OR e.volume_id IS NULL AND (v.id IS NULL
           OR ((v.status IN ('deleted', 'error') OR v.host IS DISTINCT FROM n.host)
               AND coalesce(v.deleted_at, v.updated_at, v.created_at) < n.taken_at)))
 ORDER BY 2, 1
"""
EXPORTS = f"""
WITH seen AS (
    SELECT r.host, r.taken_at, export ->> 'attachment_id' AS id, export ->> 'volume_id' AS volume_id
      FROM conductor.host_report r, jsonb_array_elements(r.report -> 'exports') AS export WHERE r.kind = 'volume'
), expected AS (
    SELECT a.id::text AS id, a.volume_id::text AS volume_id, v.host
      FROM volume.attachment a JOIN volume.volume v ON v.id = a.volume_id
      JOIN conductor.host_report r ON r.kind = 'volume' AND r.host = v.host
     WHERE a.state = 'attached' AND a.attached_at < r.taken_at
)
SELECT coalesce(e.id, x.id) AS id, coalesce(e.volume_id, x.volume_id) AS volume_id, coalesce(e.host, x.host) AS host,
       x.id IS NOT NULL AS there
  FROM expected e FULL JOIN seen x ON x.id = e.id AND x.host = e.host
  LEFT JOIN volume.attachment a ON a.id::text = x.id
  LEFT JOIN volume.volume v ON v.id::text = coalesce(e.volume_id, x.volume_id)
 WHERE {idle("volume", "coalesce(e.volume_id, x.volume_id)")} AND {idle("server", "a.server_id")}
   AND (x.id IS NULL OR (e.id IS NULL AND a.id IS NULL AND coalesce(v.updated_at < x.taken_at, true)))
 ORDER BY 3, 1
"""


async def hosts_silent(db: Tx) -> Sequence[Finding]:
    """Every host is heard of, and has reported what is on it."""
    return [
        Finding(
            what=f"{row['kind']} host {row['host']}",
            says=f"{'has never reported' if row['unreported'] else 'is down'}, last seen {micros_z(row['last_seen'])}",
            advice="see that its agent runs and reaches the broker; when it is gone for good, delete what was on it",
        )
        for row in await db.fetch(SILENT)
    ]


async def guests_and_servers(db: Tx) -> Sequence[Finding]:
    """A server that should have a guest has it, in its power state; a guest has its server."""
    return [_guest(row) for row in await db.fetch(GUESTS)]


def _guest(row: Any) -> Finding:
    repair: tuple[str, ...] = ("host", "compute", row["host"])
    advice = ""
    if row["power"] is None or row["power"] == "absent":
        says = f"is {row['state']}, and {row['host']} has no guest of it"
        repair, advice = (), "nobody knows where its disk is: reboot it hard, and if its host refuses, delete it"
    elif row["state"] is not None:
        says = f"is {row['state']}, and its guest on {row['host']} is {row['power']}"
    elif row["unknown"]:
        says = f"does not exist, and {row['host']} has a guest of it ({row['power']})"
        repair, advice = (), "we destroy no guest that we know nothing of: look at it on its host, and remove it there"
    elif row["gone"]:
        says = f"is gone, and {row['host']} has a guest of it ({row['power']})"
    else:
        says = f"is on {row['real_host'] or 'no host'}, and {row['host']} has a guest of it ({row['power']})"
        if row["real_host"] is not None or row["real_state"] != "ERROR":
            repair, advice = (), "which of the guests is the right one cannot be known from here: look at both"
    return Finding(what=f"server {row['server_id']}", says=says, repair=repair, advice=advice)


async def ports_wired(db: Tx) -> Sequence[Finding]:
    """A port that is bound to a host and ACTIVE is wired there, and nowhere else."""
    found = []
    for row in await db.fetch(PORTS):
        if not row["wired"]:
            says = f"is bound to {row['host']}, and not wired there"
        elif row["known"]:
            says = f"is wired on {row['host']}, and not bound there"
        else:
            says = f"is wired on {row['host']}, and does not exist"
        found.append(Finding(what=f"port {row['port_id']}", says=says, repair=("host", "network", row["host"])))
    return found


async def volumes_stored(db: Tx) -> Sequence[Finding]:
    """A volume is on its host, and no host keeps one that is gone or another's."""
    found = []
    for row in await db.fetch(VOLUMES):
        repair: tuple[str, ...] = ()
        advice = "we destroy no data that somebody may want: look at it on its host; its owner can delete the volume"
        if not row["there"]:
            says = f"is {row['status']}, and {row['host']} does not have it"
            advice = "its data is out of reach: bring its pool back, or let its owner delete it"
        elif row["known"]:
            says = f"is {row['status']}, and {row['host']} has it and should not"
            if row["status"] == "deleted" or (row["status"] == "error" and not row["placed"]):
                repair, advice = ("host", "volume", row["host"]), ""
        else:
            says = f"does not exist, and {row['host']} has it"
        found.append(Finding(what=f"volume {row['volume_id']}", says=says, repair=repair, advice=advice))
    return found


async def volumes_exported(db: Tx) -> Sequence[Finding]:
    """An attached volume is exported by its host for that attachment, and nothing else is."""
    return [
        Finding(
            what=f"volume {row['volume_id']}",
            says=f"is exported by {row['host']} for attachment {row['id']}, which does not exist"
            if row["there"]
            else f"has the attachment {row['id']}, and {row['host']} does not export it",
            repair=("host", "volume", row["host"]),
        )
        for row in await db.fetch(EXPORTS)
    ]


ON_HOSTS: tuple[Check, ...] = (guests_and_servers, ports_wired, volumes_stored, volumes_exported)
"""The checks of what is on hosts: what they find, and can be mended, is mended by reconciling a host."""

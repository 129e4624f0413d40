"""Ports and attachments against the servers, volumes and networks that they join."""

from __future__ import annotations

from collections.abc import Sequence

from skybus.doctor.finding import Finding, idle
from skybus.store import Tx

PORTS = f"""
SELECT p.id, p.server_id, p.host, s.host AS server_host, s.id IS NULL OR s.deleted AS gone
  FROM network.port p LEFT JOIN compute.server s ON s.id = p.server_id
 WHERE p.server_id IS NOT NULL AND {idle("server", "p.server_id")}
   AND (s.id IS NULL OR s.deleted OR p.host <> coalesce(s.host, ''))
"""
PRESENCE = """
SELECT coalesce(e.network_id, b.network_id) AS network_id, coalesce(e.host, b.host) AS host, b.host IS NULL AS empty
  FROM network.presence e
  FULL JOIN (SELECT DISTINCT network_id, host FROM network.port WHERE host <> '') AS b
    ON b.network_id = e.network_id AND b.host = e.host
 WHERE e.host IS NULL OR b.host IS NULL
"""
ATTACHMENTS = f"""
SELECT v.id AS volume_id, v.status, a.id, a.state, a.server_id, a.id IS NOT NULL AND (s.id IS NULL OR s.deleted) AS gone
  FROM volume.volume v
  LEFT JOIN volume.attachment a ON a.volume_id = v.id
  LEFT JOIN compute.server s ON s.id = a.server_id
 WHERE {idle("volume", "v.id")} AND {idle("server", "a.server_id")}
   AND ((a.id IS NOT NULL AND (s.id IS NULL OR s.deleted))
     OR CASE v.status WHEN 'in-use' THEN a.state IS DISTINCT FROM 'attached'
                      WHEN 'attaching' THEN a.state IS DISTINCT FROM 'attaching'
                      WHEN 'detaching' THEN a.state IS DISTINCT FROM 'detaching'
                      ELSE a.id IS NOT NULL END)
"""

MOVING = ("attaching", "detaching")
"""Seen by the check of what is abandoned, which mends it."""
SETTLED = (("available", "attached"),)
"""Statuses of a volume and its attachment that contradict each other, and of which it is known which holds."""


def _advice(status: str) -> str:
    if status in MOVING:
        return "mended with what is found as abandoned"
    return "whether its server has it cannot be known from here: look at the guest, then delete server or volume"


async def ports_of_servers(db: Tx) -> Sequence[Finding]:
    """A server's port has a live server and is bound to that server's host."""
    return [
        Finding(
            what=f"port {row['id']}",
            says=f"belongs to server {row['server_id']}, which is gone"
            if row["gone"]
            else f"is bound to {row['host'] or 'no host'}, and its server is on {row['server_host'] or 'none'}",
            repair=("end-ports", row["server_id"]) if row["gone"] else ("move-port", row["id"]),
        )
        for row in await db.fetch(PORTS)
    ]


async def network_presence(db: Tx) -> Sequence[Finding]:
    """A network is present exactly on the hosts that its bound ports are on."""
    return [
        Finding(
            what=f"network {row['network_id']}",
            says=f"is noted as present on {row['host']}, where no port of it is bound"
            if row["empty"]
            else f"has ports on {row['host']}, and is not noted as present there",
            repair=("presence", row["network_id"], row["host"]),
        )
        for row in await db.fetch(PRESENCE)
    ]


async def volume_attachments(db: Tx) -> Sequence[Finding]:
    """A volume's status says whether a server has it, and that server lives."""
    found = []
    for row in await db.fetch(ATTACHMENTS):
        attachment = f"its attachment {row['id']} is {row['state']}" if row["id"] else "it has no attachment"
        says = f"is {row['status']}, and {attachment}"
        if row["gone"]:
            says = f"is {row['status']}, and the server {row['server_id']} that has it is gone"
        unclear = row["id"] and not row["gone"] and (row["status"], row["state"]) not in SETTLED
        found.append(
            Finding(
                what=f"volume {row['volume_id']}",
                says=says,
                repair=() if unclear or row["status"] in MOVING else ("settle", row["volume_id"]),
                advice=_advice(row["status"]) if unclear or row["status"] in MOVING else "",
            )
        )
    return found

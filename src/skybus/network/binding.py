"""Which host a port is on, and so which hosts a network is present on.

`presence` has one row for each network and host with bound ports. Whoever binds a port where the network already is
holds that row shared and waits for nobody else who binds. Whoever brings the network to a host, or takes a port off
one, locks the network's row first and then the presence; that makes the order of `peers_version` the order of the
commits, and leaves no two transactions waiting for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skybus import clock
from skybus.network import errors
from skybus.network.ports import LOCK_ALL, Port, port_announce, port_locked

PRESENT = """
SELECT network_id, host FROM network.presence
 WHERE (network_id, host) IN (SELECT * FROM unnest($1::uuid[], $2::text[])) ORDER BY network_id, host
"""
APPEAR = """
INSERT INTO network.presence (network_id, host) SELECT * FROM unnest($1::uuid[], $2::text[])
ON CONFLICT DO NOTHING RETURNING network_id
"""
VANISH = """
DELETE FROM network.presence e
 USING unnest($1::uuid[], $2::text[]) AS l (network_id, host)
 WHERE (e.network_id, e.host) = (l.network_id, l.host)
   AND NOT EXISTS (SELECT 1 FROM network.port p WHERE p.network_id = l.network_id AND p.host = l.host)
RETURNING e.network_id
"""
LOCK_NETWORKS = "SELECT 1 FROM network.network WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE"
COUNT_UP = "UPDATE network.network SET peers_version = peers_version + 1 WHERE id = ANY($1::uuid[])"
SET_HOST = """
UPDATE network.port p SET host = n.host, revision = revision + 1, updated_at = $3
  FROM unnest($1::uuid[], $2::text[]) AS n (id, host) WHERE p.id = n.id
RETURNING p.network_id, p.host,
          EXISTS (SELECT 1 FROM network.presence e WHERE (e.network_id, e.host) = (p.network_id, n.host)) AS present
"""


async def port_bind(tx: Any, port_id: str, host: str) -> Port:
    """Put a port on `host`; content to find it there. Answers its row. Raises NotFound."""
    await ports_bind(tx, {port_id: host})
    return await port_locked(tx, port_id)


async def port_unbind(tx: Any, port_id: str) -> Port:
    """Take a port off its host; content to find it on none. Answers its row. Raises NotFound."""
    await ports_bind(tx, {port_id: ""})
    return await port_locked(tx, port_id)


async def ports_bind(tx: Any, hosts: Mapping[str, str], locked: Iterable[Port] | None = None) -> list[str]:
    """Put each port, given by id, on a host, or on none where the host is empty; content to find it there. A port on
    another host leaves that one. Answers the networks whose set of hosts changed. `locked` are the ports' rows where
    the caller has locked them. Raises NotFound.

    In one transaction bind all ports with one call: several calls could wait for another transaction's.
    """
    rows = {row["id"]: row for row in (await tx.fetch(LOCK_ALL, list(hosts)) if locked is None else locked)}
    for port_id in hosts:
        if port_id not in rows:
            raise errors.port_not_found(port_id)
    moved = [row for row in rows.values() if row["host"] != hosts[row["id"]]]
    if not moved:
        return []
    # The ports' rows are there before we look, or nobody else's unbinding could see that we came.
    now = await tx.fetch(SET_HOST, [row["id"] for row in moved], [hosts[row["id"]] for row in moved], clock.now())
    reached = {(row["network_id"], row["host"]): row["present"] for row in now if row["host"]}
    changed = await _move_presence(tx, {(row["network_id"], row["host"]) for row in moved if row["host"]}, reached)
    for row in moved:
        port_announce(tx, row, ["binding:host_id"])
    return changed


Places = set[tuple[str, str]]
"""(network, host)"""


async def _move_presence(tx: Any, left: Places, reached: Mapping[tuple[str, str], bool]) -> list[str]:
    """Note where networks may have gone from and where they are now, with whether that seemed to be known; answers
    those whose set of hosts changed."""
    moving = left | {place for place, present in reached.items() if not present}
    if moving:
        await tx.fetch(LOCK_NETWORKS, sorted({network for network, _ in moving}))
    changed = set()
    if left:
        # Waits for transactions that are binding ports here, so that the next statement sees what they did.
        await tx.fetch(f"{PRESENT} FOR UPDATE", *_columns(left))
        changed |= {row["network_id"] for row in await tx.fetch(VANISH, *_columns(left))}
    if reached:
        present = {
            (row["network_id"], row["host"]) for row in await tx.fetch(f"{PRESENT} FOR SHARE", *_columns(reached))
        }
        arrived = set(reached) - present
        if arrived:
            changed |= {row["network_id"] for row in await tx.fetch(APPEAR, *_columns(arrived))}
    if changed:
        await tx.execute(COUNT_UP, sorted(changed))
    return sorted(changed)


def _columns(places: Iterable[tuple[str, str]]) -> tuple[Sequence[str], Sequence[str]]:
    ordered = sorted(places)
    return [network for network, _ in ordered], [host for _, host in ordered]

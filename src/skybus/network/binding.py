"""Which host a port is on, and so which hosts a network is present on.

`presence` has one row for each network and host with bound ports. Whoever binds a port where the network already is
holds that row shared and waits for nobody else who binds. Whoever brings the network to a host, or takes a port off
one, locks the network's row first and then the presence; that makes the order of `peers_version` the order of the
commits, and leaves no two transactions waiting for each other.
"""

from __future__ import annotations

from typing import Any

from skybus import clock
from skybus.network.ports import Port, port_announce, port_locked

PRESENT = "SELECT 1 FROM network.presence WHERE network_id = $1 AND host = $2 FOR SHARE"
PRESENT_ALONE = "SELECT 1 FROM network.presence WHERE network_id = $1 AND host = $2 FOR UPDATE"
APPEAR = "INSERT INTO network.presence (network_id, host) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING host"
EMPTY = "SELECT NOT EXISTS (SELECT 1 FROM network.port WHERE network_id = $1 AND host = $2)"
VANISH = "DELETE FROM network.presence WHERE network_id = $1 AND host = $2"
LOCK_NETWORK = "SELECT 1 FROM network.network WHERE id = $1 FOR NO KEY UPDATE"
COUNT_UP = "UPDATE network.network SET peers_version = peers_version + 1 WHERE id = $1"
SET_HOST = "UPDATE network.port SET host = $2, revision = revision + 1, updated_at = $3 WHERE id = $1"


async def port_bind(tx: Any, port_id: str, host: str) -> Port:
    """Put a port on `host`; content to find it there. A port on another host leaves that one. Raises NotFound.

    In one transaction bind the ports of several networks in the order of the networks' ids, as `ports_of_server`
    lists them, so that two transactions cannot wait for each other.
    """
    row = await port_locked(tx, port_id)
    if row["host"] == host:
        return row
    if row["host"]:
        await _leave(tx, row)
    # The port's row is there before we look, or nobody else's unbinding could see that we came.
    await tx.execute(SET_HOST, port_id, host, clock.now())
    if await tx.fetchval(PRESENT, row["network_id"], host) is None:
        await _arrive(tx, row["network_id"], host)
    port_announce(tx, row, ["binding:host_id"])
    return await port_locked(tx, port_id)


async def port_unbind(tx: Any, port_id: str) -> Port:
    """Take a port off its host; content to find it on none. Raises NotFound."""
    row = await port_locked(tx, port_id)
    if not row["host"]:
        return row
    await _leave(tx, row)
    port_announce(tx, row, ["binding:host_id"])
    return await port_locked(tx, port_id)


async def _arrive(tx: Any, network_id: str, host: str) -> None:
    await tx.fetchval(LOCK_NETWORK, network_id)
    # Another port may have brought the network here while we waited.
    if await tx.fetchval(APPEAR, network_id, host) is not None:
        await tx.execute(COUNT_UP, network_id)


async def _leave(tx: Any, row: Port) -> None:
    network_id, host = row["network_id"], row["host"]
    await tx.execute(SET_HOST, row["id"], "", clock.now())
    await tx.fetchval(LOCK_NETWORK, network_id)
    # Waits for transactions that are binding ports here, so that the next statement sees what they did.
    await tx.fetchval(PRESENT_ALONE, network_id, host)
    if await tx.fetchval(EMPTY, network_id, host):
        await tx.execute(COUNT_UP, network_id)
        await tx.execute(VANISH, network_id, host)

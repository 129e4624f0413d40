"""Setting right where a network is noted as present, should it ever differ from where its bound ports are."""

from __future__ import annotations

from typing import Any

LOCK_NETWORK = "SELECT 1 FROM network.network WHERE id = $1 FOR NO KEY UPDATE"
LOCK_PRESENCE = "SELECT 1 FROM network.presence WHERE network_id = $1 AND host = $2 FOR UPDATE"
VANISH = """
DELETE FROM network.presence e WHERE e.network_id = $1 AND e.host = $2
   AND NOT EXISTS (SELECT FROM network.port p WHERE p.network_id = $1 AND p.host = $2) RETURNING host
"""
APPEAR = """
INSERT INTO network.presence (network_id, host) SELECT $1, $2
 WHERE EXISTS (SELECT FROM network.port p WHERE p.network_id = $1 AND p.host = $2)
ON CONFLICT DO NOTHING RETURNING host
"""
COUNT_UP = "UPDATE network.network SET peers_version = peers_version + 1 WHERE id = $1"


async def presence_correct(tx: Any, network_id: str, host: str) -> bool:
    """Note a network as present on a host exactly when it has bound ports there; answer whether that was news. The
    caller tells the network's hosts of their peers."""
    # In the order of locks that binding and unbinding take.
    await tx.fetchval(LOCK_NETWORK, network_id)
    await tx.fetchval(LOCK_PRESENCE, network_id, host)
    changed = await tx.fetchval(VANISH, network_id, host) or await tx.fetchval(APPEAR, network_id, host)
    if changed:
        await tx.execute(COUNT_UP, network_id)
    return bool(changed)

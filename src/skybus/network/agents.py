"""What the hosts tell of themselves: underlay addresses, and the network agents' heartbeats."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from skybus import clock
from skybus.errors import NotFound
from skybus.ids import derived_id, is_uuid
from skybus.messages.network import NetworkReport
from skybus.network.pools import address_of

ALIVE_SECONDS = 75.0
"""How long after its last report an agent counts as alive: Neutron's `agent_down_time`."""

HEARD = """
INSERT INTO network.agent (id, host, created_at, started_at, heard_at, taken_at, ports, networks)
VALUES ($1, $2, $3, $4, $3, $4, $5, $6)
ON CONFLICT (host) DO UPDATE
   SET heard_at = excluded.heard_at, taken_at = excluded.taken_at, ports = excluded.ports,
       networks = excluded.networks,
       started_at = CASE WHEN $7 THEN excluded.started_at ELSE network.agent.started_at END
 WHERE network.agent.taken_at < excluded.taken_at
RETURNING id
"""
ALIVE = """
UPDATE network.agent SET heard_at = $2 WHERE host = ANY($1::text[]) RETURNING host
"""
HOST_HEARD = """
INSERT INTO network.host (host, address, heard_at) VALUES ($1, $2, $3)
ON CONFLICT (host) DO UPDATE SET address = excluded.address, heard_at = excluded.heard_at
 WHERE network.host.address <> excluded.address
RETURNING host
"""
MOVED = "UPDATE network.network n SET peers_version = peers_version + 1 FROM network.presence e " + (
    "WHERE e.network_id = n.id AND e.host = $1 RETURNING n.id"
)
PRESENT_LOCKED = """
SELECT n.id FROM network.network n JOIN network.presence e ON e.network_id = n.id
 WHERE e.host = $1 ORDER BY n.id FOR NO KEY UPDATE OF n
"""
SELECT = """
SELECT a.id, a.host, a.description, a.admin_state_up, a.created_at, a.started_at, a.heard_at,
       jsonb_array_length(a.ports) AS port_count, jsonb_array_length(a.networks) AS network_count, h.address
  FROM network.agent a LEFT JOIN network.host h ON h.host = a.host
"""
FROM = "FROM network.agent a LEFT JOIN network.host h ON h.host = a.host"
GET = f"{SELECT} WHERE a.id = $1"
UPDATE = "UPDATE network.agent SET description = $2, admin_state_up = $3 WHERE id = $1"
DELETE = "DELETE FROM network.agent WHERE id = $1"
EACH = "SELECT host, admin_state_up, heard_at FROM network.agent ORDER BY host"
LAST = "SELECT ports, networks, taken_at FROM network.agent WHERE host = $1"


async def agent_heard(tx: Any, report: NetworkReport) -> bool:
    """Note a network agent's heartbeat. False for one that is older than what we know: it changes nothing."""
    ports = [[port.port_id, port.network_id] for port in report.ports]
    known = await tx.fetchval(
        HEARD, derived_id("network-agent", report.host), report.host, clock.now(), report.taken_at, ports,
        report.networks, report.started,
    )  # fmt: skip
    return known is not None


async def agents_alive(tx: Any, hosts: Sequence[str]) -> set[str]:
    """The network agents of these hosts were heard; what is on their hosts they say another time. Answers the hosts
    that are known."""
    return {row["host"] for row in await tx.fetch(ALIVE, list(hosts), clock.now())}


async def host_heard(tx: Any, host: str, address: str) -> list[str]:
    """Note a host's underlay address, from its hypervisor's report.

    Answers the networks whose peers changed by it, which is none unless the host is new or has moved: send each
    `peers_changed`. Raises BadRequest for what is no address: other hosts will be told to send there.
    """
    address = str(address_of(address, "the host's address"))
    if await tx.fetchval(HOST_HEARD, host, address, clock.now()) is None:
        return []
    networks = [str(row["id"]) for row in await tx.fetch(PRESENT_LOCKED, host)]
    if networks:
        await tx.fetch(MOVED, host)
    return networks


async def agent_last(store: Any, host: str) -> Any | None:
    """A host's last report (ports, networks, taken_at), for the reconciler; None when it never reported."""
    return await store.fetchrow(LAST, host)


async def agents_all(store: Any) -> list[Any]:
    """Every agent: host, admin_state_up, heard_at."""
    return list(await store.fetch(EACH))


async def agent_get(store: Any, agent_id: str) -> Any:
    """One agent. Raises NotFound."""
    row = await store.fetchrow(GET, agent_id) if is_uuid(agent_id) else None
    if row is None:
        raise NotFound(f"Agent {agent_id[:64]} could not be found.", type="AgentNotFound")
    return row


async def agent_update(tx: Any, agent_id: str, description: str | None, admin_state_up: bool) -> None:
    """Write what an administrator says of an agent."""
    await tx.execute(UPDATE, agent_id, description, admin_state_up)


async def agent_delete(tx: Any, agent_id: str) -> None:
    """Forget an agent; one that still runs comes back with its next report."""
    await tx.execute(DELETE, agent_id)


def alive(heard_at: datetime) -> bool:
    """Whether an agent that was heard then counts as alive now."""
    return clock.now() - heard_at < timedelta(seconds=ALIVE_SECONDS)

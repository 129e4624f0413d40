"""What compute asks of its neighbours about servers: ports of the network package, attachments of the volume package,
zones of the hosts. The one place that knows their functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from skybus.compute.server_asked import NetworkAsked
from skybus.compute.server_views import Addresses, Volumes
from skybus.errors import BadRequest, NotFound
from skybus.ids import is_uuid
from skybus.network.groups import group_default
from skybus.network.server_ports import ServerAddress, Wanted, addresses_of_servers, ports_for_server
from skybus.store import Store, Tx
from skybus.volume.attachments import attachments_of_servers

ZONES = "SELECT DISTINCT zone FROM compute.host"
HOST = "SELECT zone FROM compute.host WHERE name = $1"
MOST_SEARCHED = 20_000
"""Servers whose addresses one filter looks through."""
IN_PROJECT = f"""
SELECT id FROM compute.server WHERE NOT deleted AND ($1::text IS NULL OR project_id = $1)
 ORDER BY created_at DESC LIMIT {MOST_SEARCHED}
"""
MATCHING = "SELECT DISTINCT id FROM unnest($1::uuid[], $2::text[]) AS known (id, address) WHERE address ~ $3"


async def ports_asked(
    tx: Tx,
    project_id: str,
    is_admin: bool,
    server: Any,
    networks: Sequence[NetworkAsked] | str | None,
) -> None:
    """Give a new server the ports that were asked for. Raises BadRequest, Conflict, Forbidden or QuotaExceeded."""
    requested: Any = networks
    if networks is not None and not isinstance(networks, str):
        requested = [Wanted(network_id=one.network_id, port_id=one.port_id, fixed_ip=one.fixed_ip) for one in networks]
    try:
        await ports_for_server(
            tx,
            project_id=project_id,
            is_admin=is_admin,
            server_id=server["id"],
            hostname=server["hostname"],
            requested=requested,
            security_groups=await _groups(tx, project_id, server["security_groups"]),
        )
    except NotFound as error:
        raise BadRequest(error.reason, code=error.code) from None  # what a body names and is not there is a 400 here


async def _groups(tx: Tx, project_id: str, names: Sequence[str]) -> list[str] | None:
    """The ids of the groups; None for the default one alone. A project has, so far, the default group only."""
    if list(names) == ["default"]:
        return None
    ids = []
    for name in names:
        if name == "default":
            ids.append(await group_default(tx, project_id))
        elif is_uuid(name):
            ids.append(name)
        else:
            raise BadRequest(f"Security group {name} not found for project {project_id}.", code="server.group")
    return ids


async def addresses_of(store: Store | Tx, server_ids: Sequence[str]) -> Mapping[str, Addresses]:
    """The addresses of each server by network, in one query; a server without any is absent."""
    found = await addresses_of_servers(store, server_ids) if server_ids else {}
    return {server_id: _by_network(addresses) for server_id, addresses in found.items()}


def _by_network(addresses: Sequence[ServerAddress]) -> Addresses:
    shown: dict[str, list[dict[str, Any]]] = {}
    for one in addresses:
        shown.setdefault(one.network, []).append(
            {
                "version": one.version,
                "addr": one.address,
                "OS-EXT-IPS:type": one.type,
                "OS-EXT-IPS-MAC:mac_addr": one.mac,
            }
        )
    return shown


async def servers_with_address(store: Store, pattern: str, version: int, project_id: str | None) -> list[str]:
    """The servers with an address of that family which matches the regular expression. Raises BadRequest."""
    ids = [row["id"] for row in await store.fetch(IN_PROJECT, project_id)]
    found = await addresses_of_servers(store, ids) if ids else {}
    pairs = [(id_, one.address) for id_, several in found.items() for one in several if one.version == version]
    try:
        async with store.transaction() as tx:
            await tx.execute("SET LOCAL statement_timeout = 2000; SET LOCAL plan_cache_mode = force_custom_plan")
            rows = await tx.fetch(MATCHING, [id_ for id_, _ in pairs], [address for _, address in pairs], pattern)
    except (asyncpg.InvalidRegularExpressionError, asyncpg.QueryCanceledError):
        raise BadRequest("The filter on addresses is no regular expression that can be matched.") from None
    return [row["id"] for row in rows]


async def volumes_of(store: Store | Tx, server_ids: Sequence[str]) -> Mapping[str, Volumes]:
    """The volumes of each server, in one query; a server without any is absent."""
    found = await attachments_of_servers(store, server_ids) if server_ids else {}
    return {
        server_id: [(one["volume_id"], one["delete_on_termination"]) for one in several]
        for server_id, several in found.items()
    }


async def zone_checked(store: Store | Tx, zone: str | None, host: str | None) -> None:
    """Raises BadRequest for an availability zone or a host that is not there."""
    if host is not None and await store.fetchval(HOST, host) is None:
        raise BadRequest(f"Compute host {host[:64]} could not be found.")
    if zone is not None:
        zones = {row["zone"] for row in await store.fetch(ZONES)}
        if zone not in zones:
            raise BadRequest("The requested availability zone is not available")

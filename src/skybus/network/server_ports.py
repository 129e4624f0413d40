"""Ports of servers: what compute asks for when a server is made and what it gives back when the server goes.

The errors are worded as Nova words them, for it is Nova's API that shows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from skybus import clock
from skybus.errors import BadRequest, Conflict, Forbidden, QuotaExceeded
from skybus.ids import is_uuid
from skybus.network.binding import ports_bind
from skybus.network.groups import group_default, groups_check
from skybus.network.pools import Address, address_of
from skybus.network.ports import (
    LOCK,
    SELECT,
    FixedIp,
    Port,
    port_announce,
    port_get,
    port_insert,
    ports_delete,
    ports_move,
)
from skybus.network.quotas import quota_claim
from skybus.network.shapes import NetworkShape, shapes_for_project, shapes_get
from skybus.network.states import Cause

OWNER = "compute:nova"

OF_SERVERS = f"{SELECT} WHERE p.server_id = ANY($1::uuid[]) ORDER BY p.network_id, p.id"
OF_SERVERS_LOCKED = f"{OF_SERVERS} FOR NO KEY UPDATE OF p"
OF_SERVERS_BY_CARD = f"{SELECT} WHERE p.server_id = ANY($1::uuid[]) ORDER BY p.server_id, p.card, p.id"
ADOPT = """
UPDATE network.port
   SET server_id = $2, device_id = $2::uuid::text, device_owner = $3, owned_by_server = false, card = $4, hostname = $5,
       revision = revision + 1, updated_at = $6
 WHERE id = $1
"""
LET_GO = """
UPDATE network.port
   SET server_id = NULL, device_id = '', device_owner = '', card = 0, hostname = '', revision = revision + 1,
       updated_at = $2
 WHERE id = ANY($1::uuid[])
"""
ADDRESSES = """
SELECT p.server_id, n.name, p.mac::text AS mac, host(a.ip) AS address, family(a.ip) AS version
  FROM network.port p
  JOIN network.network n ON n.id = p.network_id
  JOIN network.address a ON a.port_id = p.id
 WHERE p.server_id = ANY($1::uuid[])
 ORDER BY p.server_id, p.card, p.id, a.ip
"""


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One network card that a server is to have: a port that exists, or a new one on a network."""

    network_id: str | None = None
    port_id: str | None = None
    fixed_ip: str | None = None


class ServerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """One address of a server, as Nova shows it. `type` is `fixed`; floating ones come with routers."""

    network: str
    address: str
    version: int
    mac: str
    type: str = "fixed"


async def ports_for_server(
    tx: Any,
    *,
    project_id: str,
    is_admin: bool,
    server_id: str,
    hostname: str,
    requested: Sequence[Wanted | dict[str, Any]] | Literal["auto", "none"] | None,
    security_groups: Sequence[str] | None = None,
) -> list[Port]:
    """Give a new server its ports, in the order asked for; those made here are deleted with it, adopted ones are not.

    `requested` None is what a request says that says nothing: the one network that the project can use, or no port
    when it has none; "auto" is the same and refuses when there is none. `security_groups` are group ids, None the
    project's default group. Raises BadRequest, Conflict, Forbidden or QuotaExceeded in Nova's words.
    """
    if requested == "none":
        return []
    if requested is None or isinstance(requested, str):
        wanted = await _the_one_network(tx, project_id, must=requested == "auto")
    else:
        wanted = [one if isinstance(one, Wanted) else msgspec.convert(one, Wanted) for one in requested]
    _check_doubles(wanted)
    networks = await _networks(tx, wanted, project_id, is_admin)
    new = sum(1 for one in wanted if one.port_id is None)
    if new:
        await _claim(tx, project_id, new)
    groups = await _groups(tx, project_id, security_groups) if new else []
    ports = []
    for card, one in enumerate(wanted):
        if one.port_id is not None:
            ports.append(await _adopt(tx, one.port_id, project_id, is_admin, server_id, hostname, card))
        else:
            network = networks[one.network_id or ""]
            ports.append(await _make(tx, network, one.fixed_ip, project_id, server_id, hostname, card, groups))
    return ports


async def _the_one_network(tx: Any, project_id: str, *, must: bool) -> list[Wanted]:
    usable = await shapes_for_project(tx, project_id)
    if len(usable) > 1:
        raise Conflict(
            "Multiple possible networks found, use a Network ID to be more specific.", code="network.ambiguous"
        )
    if not usable and must:
        raise BadRequest(f"Unable to automatically allocate a network for project {project_id}", code="network.none")
    return [Wanted(network_id=network.id) for network in usable]


def _check_doubles(wanted: Sequence[Wanted]) -> None:
    port_ids = [one.port_id for one in wanted if one.port_id is not None]
    for port_id in port_ids:
        if port_ids.count(port_id) > 1:
            raise BadRequest(f"Port {port_id} is asked for twice.", code="network.port-twice")
    for one in wanted:
        if one.port_id is None and one.network_id is None:
            raise BadRequest("A requested network names neither a network nor a port.", code="network.nothing")


async def _networks(tx: Any, wanted: Sequence[Wanted], project_id: str, is_admin: bool) -> dict[str, NetworkShape]:
    """The networks that new ports go on. What the project may not use does not exist for it."""
    asked = list(dict.fromkeys(one.network_id for one in wanted if one.port_id is None and one.network_id is not None))
    found = await shapes_get(tx, [one for one in asked if is_uuid(one)])
    for network_id in asked:
        network = found.get(network_id)
        if network is None or not _may_see(network, project_id, is_admin):
            raise BadRequest(f"Network {network_id[:64]} could not be found.", code="network.not-found")
        if network.external and not network.shared and not is_admin:
            raise Forbidden(
                f"It is not allowed to create an interface on external network {network_id}", code="network.external"
            )
        if not network.subnets:
            raise BadRequest(
                f"Network {network_id} requires a subnet in order to boot instances on.", code="network.no-subnet"
            )
    return found


def _may_see(network: NetworkShape, project_id: str, is_admin: bool) -> bool:
    return is_admin or network.project_id == project_id or network.shared or network.external


async def _claim(tx: Any, project_id: str, more: int) -> None:
    try:
        await quota_claim(tx, project_id, "port", more)
    except QuotaExceeded:
        raise QuotaExceeded("Maximum number of ports exceeded", code="quota.exceeded") from None


async def _groups(tx: Any, project_id: str, asked: Sequence[str] | None) -> list[str]:
    if asked is None:
        return [await group_default(tx, project_id)]
    return await groups_check(tx, project_id, asked)


async def _make(
    tx: Any,
    network: NetworkShape,
    fixed_ip: str | None,
    project_id: str,
    server_id: str,
    hostname: str,
    card: int,
    groups: Sequence[str],
) -> Port:
    fixed_ips = None if fixed_ip is None else [FixedIp(ip_address=str(_parsed(fixed_ip)))]
    guarded = network.port_security_enabled
    try:
        return await port_insert(
            tx,
            network,
            project_id=project_id,
            device_id=server_id,
            device_owner=OWNER,
            server_id=server_id,
            hostname=hostname,
            card=card,
            port_security_enabled=guarded,
            security_groups=groups if guarded else (),
            fixed_ips=fixed_ips,
        )
    except Conflict as error:
        if error.details.get("type") == "IpAddressInUse":
            raise BadRequest(f"Fixed IP address {fixed_ip} is already in use.", code="network.address-in-use") from None
        if error.details.get("type") == "IpAddressGenerationFailure":
            raise BadRequest(
                f"No fixed IP addresses available for network: {network.id}", code="network.full"
            ) from None
        raise


def _parsed(fixed_ip: str) -> Address:
    return address_of(fixed_ip, "fixed_ip")


async def _adopt(
    tx: Any, port_id: str, project_id: str, is_admin: bool, server_id: str, hostname: str, card: int
) -> Port:
    row = await tx.fetchrow(LOCK, port_id) if is_uuid(port_id) else None
    if row is None or not (is_admin or project_id in (row["project_id"], row["network_project_id"])):
        raise BadRequest(f"Port id {port_id[:64]} could not be found.", code="network.port-not-found")
    if row["project_id"] != project_id and not is_admin:
        raise BadRequest(f"Port {port_id} not usable for instance {server_id}.", code="network.port-not-usable")
    if row["server_id"] is not None or row["device_id"]:
        raise Conflict(f"Port {port_id} is still in use.", code="network.port-in-use")
    if row["device_owner"].startswith("network:"):
        raise BadRequest(f"Port {port_id} not usable for instance {server_id}.", code="network.port-not-usable")
    if not row["fixed_ips"]:
        raise BadRequest(f"Port {port_id} requires a FixedIP in order to be used.", code="network.port-no-address")
    await tx.execute(ADOPT, port_id, server_id, OWNER, card, hostname, clock.now())
    port_announce(tx, row, ["device_id", "device_owner"])
    return await port_get(tx, port_id)


async def ports_of_server(store: Any, server_id: str) -> list[Port]:
    """A server's ports in the order of their networks' ids: the order to bind, plug and unbind them in."""
    return await ports_of_servers(store, [server_id])


async def ports_of_servers(store: Any, server_ids: Iterable[str], *, lock: bool = False) -> list[Port]:
    """The ports of many servers (each row has its `server_id`), in the order of their networks' ids; with `lock`, held
    to the end of the transaction."""
    return list(await store.fetch(OF_SERVERS_LOCKED if lock else OF_SERVERS, list(server_ids)))


async def cards_of_servers(store: Any, server_ids: Iterable[str]) -> dict[str, list[Port]]:
    """Each server's ports in the order of its network cards: the order that the guest sees them in."""
    asked = list(server_ids)
    cards: dict[str, list[Port]] = {server_id: [] for server_id in asked}
    for row in await store.fetch(OF_SERVERS_BY_CARD, asked):
        cards[row["server_id"]].append(row)
    return cards


async def ports_release(tx: Any, server_ids: Iterable[str]) -> list[str]:
    """End the servers' hold on their ports: their own are deleted, adopted ones are unbound and free again.

    Content to find none. Answers the networks whose set of hosts changed. The hosts have been told to unplug.
    """
    rows = await ports_of_servers(tx, server_ids, lock=True)
    if not rows:
        return []
    changed = await ports_bind(tx, {row["id"]: "" for row in rows}, rows)
    own = [row for row in rows if row["owned_by_server"]]
    if own:
        await ports_delete(tx, own)
    adopted = [row for row in rows if not row["owned_by_server"]]
    if adopted:
        await ports_move(tx, [row["id"] for row in adopted], Cause.UNPLUGGED)
        await tx.execute(LET_GO, [row["id"] for row in adopted], clock.now())
    for row in adopted:
        port_announce(tx, row, ["device_id", "device_owner"])
    return changed


async def addresses_of_servers(store: Any, server_ids: Sequence[str]) -> dict[str, list[ServerAddress]]:
    """Every address of each of the servers, first card first, in one query; servers without any are absent."""
    found: dict[str, list[ServerAddress]] = {}
    for row in await store.fetch(ADDRESSES, list(server_ids)):
        one = ServerAddress(network=row["name"], address=row["address"], version=row["version"], mac=row["mac"])
        found.setdefault(row["server_id"], []).append(one)
    return found

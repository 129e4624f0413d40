"""Subnets: their rows. The DHCP port follows them (see `dhcp`)."""

from __future__ import annotations

from typing import Any

from skybus import clock
from skybus.ids import new_id
from skybus.messages.network import SubnetCreated, SubnetDeleted, SubnetUpdated
from skybus.network import errors
from skybus.network.dhcp import dhcp_follow
from skybus.network.pools import Cidr, checked_pools, cidr_of, default_pools
from skybus.network.subnet_rules import Shape, changed_shape
from skybus.network.wiring import hosts_refresh

COLUMNS = """
    s.id, s.network_id, s.project_id, s.name, s.description, s.cidr::text AS cidr, family(s.cidr) AS ip_version,
    host(s.gateway_ip) AS gateway_ip, s.enable_dhcp, s.pools, s.dns_nameservers, s.host_routes, s.revision,
    s.created_at, s.updated_at, n.project_id AS network_project_id, n.shared, n.external
"""
FROM = "FROM network.subnet s JOIN network.network n ON n.id = s.network_id"
SELECT = f"SELECT {COLUMNS} {FROM}"
GET = f"{SELECT} WHERE s.id = $1"
LOCK = f"{SELECT} WHERE s.id = $1 FOR NO KEY UPDATE OF s"
LOCK_TO_DELETE = f"{SELECT} WHERE s.id = $1 FOR UPDATE OF s"
# The network's lock makes sure that two subnets that are made at once see each other.
LOCK_NETWORK = "SELECT id FROM network.network WHERE id = $1 FOR NO KEY UPDATE"
OVERLAP = "SELECT cidr::text FROM network.subnet WHERE network_id = $1 AND cidr && $2::cidr LIMIT 1"
INSERT = """
INSERT INTO network.subnet (id, network_id, project_id, name, description, cidr, gateway_ip, enable_dhcp, pools,
                            dns_nameservers, host_routes, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6::cidr, $7::inet, $8, $9, $10, $11, $12, $12)
"""
UPDATE = """
UPDATE network.subnet
   SET name = $2, description = $3, gateway_ip = $4::inet, enable_dhcp = $5, pools = $6, dns_nameservers = $7,
       host_routes = $8, revision = revision + 1, updated_at = $9
 WHERE id = $1
"""
IN_USE = """
SELECT EXISTS (SELECT 1 FROM network.address a JOIN network.port p ON p.id = a.port_id
                WHERE a.subnet_id = $1 AND p.device_owner <> 'network:dhcp')
"""
FREE = "DELETE FROM network.address WHERE subnet_id = $1"
DELETE = "DELETE FROM network.subnet WHERE id = $1"

Subnet = Any
"""A row of SELECT."""


async def subnet_get(store: Any, subnet_id: str) -> Subnet:
    """One subnet with what matters of its network. Raises NotFound."""
    row = await store.fetchrow(GET, subnet_id)
    if row is None:
        raise errors.subnet_not_found(subnet_id)
    return row


async def subnet_insert(
    tx: Any,
    *,
    network_id: str,
    project_id: str,
    cidr: str,
    ip_version: int,
    name: str = "",
    description: str = "",
    gateway_ip: str | None = "",
    enable_dhcp: bool = True,
    pools: list[tuple[str, str]] | None = None,
    dns_nameservers: list[str] | None = None,
    host_routes: list[tuple[str, str]] | None = None,
) -> Subnet:
    """Make a subnet, and the network's DHCP port with its first DHCP-enabled one.

    An empty `gateway_ip` stands for the first usable address, None for no gateway. Raises NotFound for the network,
    BadRequest and Conflict for what cannot be.
    """
    network = cidr_of(cidr, ip_version)
    shape = Shape.of(network, gateway_ip, dns_nameservers or [], host_routes or [])
    check_room(network, enable_dhcp)
    chosen = default_pools(network, shape.gateway) if pools is None else checked_pools(network, shape.gateway, pools)
    if await tx.fetchval(LOCK_NETWORK, network_id) is None:
        raise errors.network_not_found(network_id)
    await _refuse_overlap(tx, network_id, network)
    subnet_id = new_id()
    await tx.execute(
        INSERT, subnet_id, network_id, project_id, name, description, str(network), shape.gateway_text, enable_dhcp,
        chosen, shape.dns_nameservers, shape.host_routes, clock.now(),
    )  # fmt: skip
    tx.publish(SubnetCreated(subnet_id=subnet_id, network_id=network_id, cidr=str(network)), project_id=project_id)
    await dhcp_follow(tx, network_id)
    return await subnet_get(tx, subnet_id)


def check_room(network: Cidr, enable_dhcp: bool) -> None:
    """Raises BadRequest for a subnet with DHCP that has no room for a DHCP port beside a gateway."""
    if enable_dhcp and network.num_addresses < 4:
        raise errors.invalid(f"the subnet {network} is too small for DHCP")


async def _refuse_overlap(tx: Any, network_id: str, network: Cidr) -> None:
    other = await tx.fetchval(OVERLAP, network_id, str(network))
    if other is not None:
        raise errors.invalid(
            f"Requested subnet with cidr: {network} for network: {network_id} overlaps with another subnet: {other}"
        )


async def subnet_update(tx: Any, subnet_id: str, asked: dict[str, Any]) -> Subnet:
    """Change attributes; `asked` holds columns' names. Raises NotFound, BadRequest, Conflict."""
    row = await _locked(tx, subnet_id, LOCK)
    new = {**{column: row[column] for column in _CHANGEABLE}, **asked}
    shape, pools = changed_shape(row, new)
    network = cidr_of(row["cidr"], row["ip_version"])
    check_room(network, new["enable_dhcp"])
    new.update(gateway_ip=shape.gateway_text, pools=pools, host_routes=shape.host_routes)
    new["dns_nameservers"] = shape.dns_nameservers
    changed = sorted(column for column in _CHANGEABLE if _plain(new[column]) != _plain(row[column]))
    if not changed:
        return row
    await tx.execute(UPDATE, subnet_id, *(new[column] for column in _CHANGEABLE), clock.now())
    tx.publish(SubnetUpdated(subnet_id=subnet_id, changed=changed), project_id=row["project_id"])
    await hosts_refresh(tx, row["network_id"])
    if "enable_dhcp" in changed:
        await dhcp_follow(tx, row["network_id"])
    return await subnet_get(tx, subnet_id)


async def _locked(tx: Any, subnet_id: str, lock: str) -> Subnet:
    """The subnet's row, locked. Its network comes first, as it does in every other place that locks both."""
    row = await subnet_get(tx, subnet_id)
    await tx.fetchval(LOCK_NETWORK, row["network_id"])
    row = await tx.fetchrow(lock, subnet_id)
    if row is None:
        raise errors.subnet_not_found(subnet_id)
    return row


_CHANGEABLE = ("name", "description", "gateway_ip", "enable_dhcp", "pools", "dns_nameservers", "host_routes")


def _plain(value: Any) -> Any:
    return [list(one) if isinstance(one, tuple) else one for one in value] if isinstance(value, list) else value


async def subnet_delete(tx: Any, subnet_id: str) -> None:
    """Remove a subnet. Raises NotFound; Conflict while a port other than the DHCP port has an address in it."""
    # This waits for addresses that are being handed out, so that the next statement sees them.
    row = await _locked(tx, subnet_id, LOCK_TO_DELETE)
    if await tx.fetchval(IN_USE, subnet_id):
        raise errors.subnet_in_use(subnet_id)
    await tx.execute(FREE, subnet_id)
    await tx.execute(DELETE, subnet_id)
    tx.publish(SubnetDeleted(subnet_id=subnet_id, network_id=row["network_id"]), project_id=row["project_id"])
    await dhcp_follow(tx, row["network_id"])

"""Ports: their rows, their addresses, their status."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import asyncpg
import msgspec

from skybus import clock
from skybus.bus.context import on_behalf_of
from skybus.errors import BadRequest
from skybus.ids import new_id
from skybus.messages.network import PortCreated, PortDeleted, PortUpdated
from skybus.network import errors
from skybus.network.addresses import address_lowest, address_pick, address_release, address_take
from skybus.network.pools import address_of, new_mac
from skybus.network.shapes import NetworkShape, SubnetShape
from skybus.network.states import Cause, State, after

MOST_ADDRESSES = 5
"""Fixed addresses of one port, as Neutron counts them."""
TRIES = 8
"""Random MACs before a network counts as full of them."""

COLUMNS = """
    p.id, p.network_id, p.project_id, p.name, p.description, p.admin_state_up, p.mac::text AS mac, p.device_id,
    p.device_owner, p.server_id, p.owned_by_server, p.hostname, p.card, p.status, p.host, p.port_security_enabled,
    p.security_groups, p.revision, p.created_at, p.updated_at, n.project_id AS network_project_id, n.shared, n.mtu,
    COALESCE((SELECT jsonb_agg(jsonb_build_object('subnet_id', a.subnet_id, 'ip_address', host(a.ip)) ORDER BY a.ip)
                FROM network.address a WHERE a.port_id = p.id), '[]') AS fixed_ips
"""
FROM = "FROM network.port p JOIN network.network n ON n.id = p.network_id"
SELECT = f"SELECT {COLUMNS} {FROM}"
GET = f"{SELECT} WHERE p.id = $1"
LOCK = f"{SELECT} WHERE p.id = $1 FOR NO KEY UPDATE OF p"
LOCK_ALL = f"{SELECT} WHERE p.id = ANY($1::uuid[]) ORDER BY p.network_id, p.id FOR NO KEY UPDATE OF p"
INSERT = """
INSERT INTO network.port (id, network_id, project_id, name, description, admin_state_up, mac, device_id, device_owner,
                          server_id, owned_by_server, hostname, card, status, host, port_security_enabled,
                          security_groups, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, ($7::text)::macaddr, $8, $9, $10, $11, $12, $13, $14, '', $15, $16, $17, $17)
ON CONFLICT DO NOTHING
RETURNING id, network_id, project_id, name, description, admin_state_up, mac::text AS mac, device_id, device_owner,
          server_id, owned_by_server, hostname, card, status, host, port_security_enabled, security_groups, revision,
          created_at, updated_at
"""
UPDATE = """
UPDATE network.port
   SET name = $2, description = $3, admin_state_up = $4, device_id = $5, device_owner = $6,
       port_security_enabled = $7, security_groups = $8, mac = ($9::text)::macaddr, revision = revision + 1,
       updated_at = $10
 WHERE id = $1
"""
DELETE = "DELETE FROM network.port WHERE id = ANY($1::uuid[])"
STATUS = """
SELECT id, status, project_id, server_id FROM network.port
 WHERE id = ANY($1::uuid[]) ORDER BY network_id, id FOR NO KEY UPDATE
"""
MOVE = """
UPDATE network.port p SET status = n.status, revision = revision + 1, updated_at = $3
  FROM unnest($1::uuid[], $2::text[]) AS n (id, status) WHERE p.id = n.id
"""

DHCP = "network:dhcp"
Port = Any
"""A row of SELECT."""
Given = dict[str, str]
"""An address that a port has: `subnet_id`, `ip_address`."""


class FixedIp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address that is asked for: any one of a subnet, or a certain one."""

    subnet_id: str | None = None
    ip_address: str | None = None


async def port_get(store: Any, port_id: str) -> Port:
    """One port with its addresses. Raises NotFound."""
    row = await store.fetchrow(GET, port_id)
    if row is None:
        raise errors.port_not_found(port_id)
    return row


async def port_locked(tx: Any, port_id: str) -> Port:
    """One port, locked to the end of the transaction. Raises NotFound."""
    row = await tx.fetchrow(LOCK, port_id)
    if row is None:
        raise errors.port_not_found(port_id)
    return row


async def port_insert(
    tx: Any,
    network: NetworkShape,
    *,
    project_id: str,
    name: str = "",
    description: str = "",
    admin_state_up: bool = True,
    mac: str | None = None,
    device_id: str = "",
    device_owner: str = "",
    server_id: str | None = None,
    hostname: str = "",
    card: int = 0,
    status: State = State.DOWN,
    port_security_enabled: bool = True,
    security_groups: Sequence[str] = (),
    fixed_ips: Sequence[FixedIp] | None = None,
    lowest: bool = False,
) -> Port:
    """Make a port with its addresses; `server_id` makes it that server's own.

    Without `fixed_ips` it gets one address of each family that the network has; `lowest` as in `addresses_give`.
    Raises BadRequest and Conflict as Neutron does, NotFound when the network goes away meanwhile.
    """
    port_id, now = new_id(), clock.now()
    for _ in range(TRIES if mac is None else 1):
        given = mac or new_mac()
        try:
            made = await tx.fetchrow(
                INSERT, port_id, network.id, project_id, name, description, admin_state_up, given, device_id,
                device_owner, server_id, server_id is not None, hostname, card, status, port_security_enabled,
                list(security_groups), now,
            )  # fmt: skip
        except asyncpg.ForeignKeyViolationError:
            raise errors.network_not_found(network.id) from None
        if made is not None:
            break
    else:
        raise errors.mac_in_use(network.id, mac or "fa:16:3e:**")
    given_ips = await addresses_give(tx, network, port_id, fixed_ips, lowest=lowest)
    seen = {"network_project_id": network.project_id, "shared": network.shared, "mtu": network.mtu}
    row = {**dict(made), **seen, "fixed_ips": sorted(given_ips, key=_family_and_number)}
    tx.publish(
        PortCreated(
            port_id=port_id,
            network_id=network.id,
            device_id=device_id,
            device_owner=device_owner,
            mac=row["mac"],
            addresses=[one["ip_address"] for one in row["fixed_ips"]],
        ),
        project_id=project_id,
    )
    return row


def _family_and_number(given: Given) -> tuple[int, int]:
    address = ip_address(given["ip_address"])
    return address.version, int(address)


async def addresses_give(
    tx: Any, network: NetworkShape, port_id: str, asked: Sequence[FixedIp] | None, *, lowest: bool = False
) -> list[Given]:
    """Give a port the addresses asked for, or, with None, one of each family; answer them. Raises BadRequest and
    Conflict.

    Where any address will do it is a random one, or, with `lowest`, the first that is free.
    """
    if asked is None:
        families = [[one for one in network.subnets if one.version == version] for version in (4, 6)]
        return [await _any_of(tx, network, port_id, subnets, lowest) for subnets in families if subnets]
    if len(asked) > MOST_ADDRESSES:
        raise errors.invalid("Exceeded maximum amount of fixed ips per port")
    given = []
    for one in asked:
        if one.ip_address is not None:
            given.append(await _certain(tx, network, port_id, one.ip_address, one.subnet_id))
        elif one.subnet_id is not None:
            given.append(await _any_of(tx, network, port_id, [network.subnet(one.subnet_id)], lowest))
        else:
            raise errors.invalid("IP allocation requires subnet_id or ip_address")
    return given


async def _any_of(tx: Any, network: NetworkShape, port_id: str, subnets: Sequence[SubnetShape], lowest: bool) -> Given:
    """An address of the first of `subnets` that has one left."""
    for subnet in subnets:
        if lowest:
            given = await address_lowest(tx, subnet_id=subnet.id, pools=subnet.pools, port_id=port_id)
        else:
            given = await address_pick(
                tx, subnet_id=subnet.id, pools=subnet.pools, highest=subnet.highest, port_id=port_id
            )
        if given is not None:
            return {"subnet_id": subnet.id, "ip_address": given}
    raise errors.no_more_addresses(network.id)


async def _certain(tx: Any, network: NetworkShape, port_id: str, text: str, subnet_id: str | None) -> Given:
    address = str(address_of(text, "fixed_ips"))
    subnet = network.subnet(subnet_id) if subnet_id is not None else network.subnet_of(address)
    if not subnet.holds(address):
        raise BadRequest(f"IP address {address} is not a valid IP for the specified subnet.", type="InvalidIpForSubnet")
    await address_take(tx, network_id=network.id, subnet_id=subnet.id, address=address, port_id=port_id)
    return {"subnet_id": subnet.id, "ip_address": address}


async def addresses_change(tx: Any, network: NetworkShape, row: Port, asked: Sequence[FixedIp]) -> None:
    """Make a port's addresses those asked for; what it has of them it keeps. Raises BadRequest and Conflict."""
    if len(asked) > MOST_ADDRESSES:
        raise errors.invalid("Exceeded maximum amount of fixed ips per port")
    spare = {(one["subnet_id"], one["ip_address"]) for one in row["fixed_ips"]}
    missing = []
    # Certain addresses choose first; a wish for any address of a subnet is content with one that the port has there.
    for one in sorted(asked, key=lambda wish: wish.ip_address is None):
        match = next((pair for pair in sorted(spare) if _suits(one, pair)), None)
        if match is None:
            missing.append(one)
        else:
            spare.discard(match)
    for subnet_id, address in spare:
        await address_release(tx, port_id=row["id"], subnet_id=subnet_id, address=address)
    await addresses_give(tx, network, row["id"], missing)


def _suits(wish: FixedIp, pair: tuple[str, str]) -> bool:
    if wish.ip_address is None:
        return wish.subnet_id == pair[0]
    same = str(address_of(wish.ip_address, "fixed_ips")) == pair[1]
    return same and wish.subnet_id in (None, pair[0])


async def port_update(tx: Any, row: Port, new: dict[str, Any]) -> list[str]:
    """Write the columns in `new` of a locked port; answers which changed. Raises Conflict for a MAC in use."""
    columns = ("name", "description", "admin_state_up", "device_id", "device_owner", "port_security_enabled",
               "security_groups", "mac")  # fmt: skip
    changed = [column for column in columns if column in new and new[column] != row[column]]
    if changed:
        values = [new.get(column, row[column]) for column in columns]
        try:
            await tx.execute(UPDATE, row["id"], *values, clock.now())
        except asyncpg.UniqueViolationError:
            raise errors.mac_in_use(row["network_id"], new.get("mac", "")) from None
    return changed


def port_announce(tx: Any, row: Port, changed: Sequence[str]) -> None:
    """Publish that attributes of a port changed."""
    if changed:
        with on_behalf_of(row["server_id"] or ""):
            tx.publish(PortUpdated(port_id=row["id"], changed=sorted(changed)), project_id=row["project_id"])


async def port_delete(tx: Any, row: Port) -> None:
    """Remove a port; its addresses are free when the transaction commits. The caller has unbound it."""
    await ports_delete(tx, [row])


async def ports_delete(tx: Any, rows: Sequence[Port]) -> None:
    """Remove ports, as `port_delete`."""
    await tx.execute(DELETE, [row["id"] for row in rows])
    for row in rows:
        with on_behalf_of(row["server_id"] or ""):
            tx.publish(PortDeleted(port_id=row["id"], network_id=row["network_id"]), project_id=row["project_id"])


async def port_move(tx: Any, port_id: str, cause: Cause) -> State:
    """Apply `cause` to one port and answer its new status. Raises NotFound."""
    return (await ports_move(tx, [port_id], cause))[port_id]


async def ports_move(tx: Any, port_ids: Sequence[str], cause: Cause) -> dict[str, State]:
    """Apply `cause` and answer the new status of each port. The only function that writes a port's status. Raises
    NotFound when one is missing."""
    rows = {row["id"]: row for row in await tx.fetch(STATUS, list(port_ids))}
    for port_id in port_ids:
        if port_id not in rows:
            raise errors.port_not_found(port_id)
    states = {id_: after(State(row["status"]), cause) for id_, row in rows.items()}
    changed = {id_: state for id_, state in states.items() if state != rows[id_]["status"]}
    if changed:
        await tx.execute(MOVE, list(changed), list(changed.values()), clock.now())
    for id_ in changed:
        with on_behalf_of(rows[id_]["server_id"] or ""):
            tx.publish(PortUpdated(port_id=id_, changed=["status"]), project_id=rows[id_]["project_id"])
    return states

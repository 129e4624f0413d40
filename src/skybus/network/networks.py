"""Networks: their rows."""

from __future__ import annotations

import secrets
from typing import Any

import asyncpg

from skybus import clock
from skybus.errors import Conflict
from skybus.ids import new_id
from skybus.messages.network import NetworkCreated, NetworkDeleted, NetworkUpdated, PortDeleted
from skybus.network import errors
from skybus.network.errors import invalid

VNIS = range(1001, 16_777_216)
"""Numbers that tunnel networks get; the first thousand stay free for an administrator to name."""
TRIES = 16
MTU = {"vxlan": 1450, "flat": 1500}
"""What fits on the wire; the tunnel's headers take 50 bytes."""

COLUMNS = """
    n.id, n.project_id, n.name, n.description, n.admin_state_up, n.shared, n.external, n.is_default, n.kind, n.vni,
    n.physical_network, n.mtu, n.port_security_enabled, n.revision, n.created_at, n.updated_at,
    ARRAY(SELECT s.id FROM network.subnet s WHERE s.network_id = n.id ORDER BY s.created_at, s.id) AS subnets
"""
SELECT = f"SELECT {COLUMNS} FROM network.network n"
GET = f"{SELECT} WHERE n.id = $1"
LOCK = f"{SELECT} WHERE n.id = $1 FOR NO KEY UPDATE OF n"
LOCK_TO_DELETE = "SELECT id, project_id FROM network.network WHERE id = $1 FOR UPDATE"
INSERT = """
INSERT INTO network.network (id, project_id, name, description, admin_state_up, shared, external, is_default, kind,
                             vni, physical_network, mtu, port_security_enabled, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14) ON CONFLICT DO NOTHING RETURNING id
"""
UPDATE = """
UPDATE network.network
   SET name = $2, description = $3, admin_state_up = $4, shared = $5, external = $6, is_default = $7, mtu = $8,
       port_security_enabled = $9, revision = revision + 1, updated_at = $10
 WHERE id = $1
"""
FOREIGN_PORTS = "SELECT EXISTS (SELECT 1 FROM network.port WHERE network_id = $1 AND project_id <> $2)"
IN_USE = "SELECT EXISTS (SELECT 1 FROM network.port WHERE network_id = $1 AND device_owner <> 'network:dhcp')"
DELETE_PORTS = "DELETE FROM network.port WHERE network_id = $1 RETURNING id, project_id"
DELETE_SUBNETS = "DELETE FROM network.subnet WHERE network_id = $1 RETURNING id"
DELETE = "DELETE FROM network.network WHERE id = $1"

CHANGEABLE = {
    "name": "name",
    "description": "description",
    "admin_state_up": "admin_state_up",
    "shared": "shared",
    "router:external": "external",
    "is_default": "is_default",
    "mtu": "mtu",
    "port_security_enabled": "port_security_enabled",
}
"""Attributes in the API that may change, and their columns."""

Network = Any
"""A row of SELECT."""


async def network_get(store: Any, network_id: str) -> Network:
    """One network. Raises NotFound."""
    row = await store.fetchrow(GET, network_id)
    if row is None:
        raise errors.network_not_found(network_id)
    return row


async def network_insert(
    tx: Any,
    *,
    project_id: str,
    name: str = "",
    description: str = "",
    admin_state_up: bool = True,
    shared: bool = False,
    external: bool = False,
    is_default: bool = False,
    kind: str = "vxlan",
    vni: int | None = None,
    physical_network: str | None = None,
    mtu: int | None = None,
    port_security_enabled: bool = True,
) -> Network:
    """Make a network. A tunnel network without a VNI gets one of its own.

    Raises BadRequest for a segment that cannot be, Conflict for one that is taken, Unavailable when none is left.
    """
    _check_segment(kind, vni, physical_network)
    mtu = checked_mtu(kind, mtu)
    network_id, now = new_id(), clock.now()
    for _ in range(TRIES if kind == "vxlan" and vni is None else 1):
        number = vni if vni is not None or kind != "vxlan" else _any_vni()
        made = await tx.fetchval(
            INSERT, network_id, project_id, name, description, admin_state_up, shared, external, is_default, kind,
            number, physical_network, mtu, port_security_enabled, now,
        )  # fmt: skip
        if made is not None:
            tx.publish(NetworkCreated(network_id=network_id, name=name), project_id=project_id)
            return await network_get(tx, network_id)
    if physical_network is not None:
        raise Conflict(
            f"Unable to create the flat network. Physical network {physical_network} is in use.",
            type="FlatNetworkInUse",
        )
    if vni is not None:
        raise Conflict(f"Unable to create the network. The tunnel ID {vni} is in use.", type="TunnelIdInUse")
    raise errors.no_network_available()


def _any_vni() -> int:
    return VNIS[secrets.randbelow(len(VNIS))]


def _check_segment(kind: str, vni: int | None, physical_network: str | None) -> None:
    if kind == "vxlan" and physical_network is not None:
        raise invalid("provider:physical_network specified for vxlan network")
    if kind == "flat" and physical_network is None:
        raise invalid("physical_network required for flat provider network")
    if kind == "flat" and vni is not None:
        raise invalid("provider:segmentation_id is not allowed for flat provider network")


def checked_mtu(kind: str, mtu: int | None) -> int:
    """The network's MTU: what fits unless less is asked for. Raises BadRequest for more."""
    most = MTU[kind]
    if mtu is None or mtu == 0:
        return most
    if mtu > most:
        raise invalid(f"Requested MTU is too big, maximum is {most}")
    return mtu


async def network_update(tx: Any, network_id: str, asked: dict[str, Any]) -> Network:
    """Change attributes, named as in the API. Raises NotFound, BadRequest, Conflict."""
    row = await tx.fetchrow(LOCK, network_id)
    if row is None:
        raise errors.network_not_found(network_id)
    changed = {CHANGEABLE[key]: value for key, value in asked.items() if row[CHANGEABLE[key]] != value}
    if not changed:
        return row
    if "mtu" in changed:
        changed["mtu"] = checked_mtu(row["kind"], changed["mtu"])
    if changed.get("shared") is False and await tx.fetchval(FOREIGN_PORTS, network_id, row["project_id"]):
        raise Conflict(
            f"Unable to reconfigure sharing settings for network {network_id}. Multiple projects are using it.",
            type="InvalidSharedSetting",
        )
    new = {column: changed.get(column, row[column]) for column in CHANGEABLE.values()}
    await tx.execute(UPDATE, network_id, *new.values(), clock.now())
    tx.publish(NetworkUpdated(network_id=network_id, changed=sorted(changed)), project_id=row["project_id"])
    return await network_get(tx, network_id)


async def network_delete(tx: Any, network_id: str) -> None:
    """Remove a network with its subnets and its DHCP port. Raises NotFound; Conflict while other ports are on it."""
    # This waits for ports that are being made on the network, so that the next statement sees them.
    row = await tx.fetchrow(LOCK_TO_DELETE, network_id)
    if row is None:
        raise errors.network_not_found(network_id)
    if await tx.fetchval(IN_USE, network_id):
        raise errors.network_in_use(network_id)
    for port in await tx.fetch(DELETE_PORTS, network_id):
        tx.publish(PortDeleted(port_id=port["id"], network_id=network_id), project_id=port["project_id"])
    try:
        await tx.fetch(DELETE_SUBNETS, network_id)
    except asyncpg.ForeignKeyViolationError:
        raise errors.network_in_use(network_id) from None
    await tx.execute(DELETE, network_id)
    tx.publish(NetworkDeleted(network_id=network_id), project_id=row["project_id"])

"""What the network agents are told: commands made from the rows, to be sent by the sagas."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from skybus import clock
from skybus.messages.compute import InstanceMetadata
from skybus.messages.network import PlugPort, PortBinding, Segment, Subnet, UnplugPort, UpdatePeers
from skybus.saga.operations import operation_start

TAP_LETTERS = 11
"""How much of a port's id is in its tap's name: the kernel takes 15 letters. It is the id's end, for it begins with
the time."""

PORTS = """
SELECT p.id, p.network_id, p.server_id, p.mac::text AS mac, p.hostname, p.port_security_enabled, n.kind, n.vni, n.mtu,
       n.peers_version,
       COALESCE((SELECT jsonb_agg(jsonb_build_array(a.subnet_id, host(a.ip)) ORDER BY a.ip)
                   FROM network.address a WHERE a.port_id = p.id), '[]') AS fixed_ips,
       COALESCE((SELECT jsonb_agg(jsonb_build_object(
                            'subnet_id', s.id, 'cidr', s.cidr, 'gateway_ip', host(s.gateway_ip),
                            'dns_nameservers', s.dns_nameservers, 'host_routes', s.host_routes,
                            'enable_dhcp', s.enable_dhcp, 'dhcp_ip', host(da.ip)) ORDER BY s.created_at, s.id)
                   FROM network.subnet s
                   LEFT JOIN network.address da ON da.subnet_id = s.id AND da.port_id = d.id
                  WHERE s.network_id = n.id), '[]') AS subnets,
       d.id AS dhcp_port_id, d.mac::text AS dhcp_mac,
       ARRAY(SELECT h.address FROM network.presence e JOIN network.host h ON h.host = e.host
              WHERE e.network_id = n.id AND e.host <> asked.host ORDER BY h.address) AS peers
  FROM unnest($1::uuid[], $2::text[]) AS asked (server_id, host)
  JOIN network.port p ON p.server_id = asked.server_id
  JOIN network.network n ON n.id = p.network_id
  LEFT JOIN network.port d ON d.network_id = n.id AND d.device_owner = 'network:dhcp'
 ORDER BY p.server_id, p.card, p.id
"""
PICTURE = """
SELECT e.host, h.address, n.kind, n.peers_version
  FROM network.network n
  JOIN network.presence e ON e.network_id = n.id
  LEFT JOIN network.host h ON h.host = e.host
 WHERE n.id = $1 ORDER BY e.host
"""
ON_NETWORK = """
SELECT p.id, p.network_id, p.server_id, p.host FROM network.port p
 WHERE p.network_id = $1 AND p.host <> '' AND p.server_id IS NOT NULL ORDER BY p.host, p.id
"""
ON_HOST = """
SELECT p.id, p.network_id, p.server_id FROM network.port p
 WHERE p.host = $1 AND p.server_id IS NOT NULL ORDER BY p.network_id, p.id
"""
PEERS_TOLD = """
UPDATE network.network n SET peers_told = peers_version, peers_told_at = $2
 WHERE n.id = $1 AND peers_told < peers_version
   AND ($3::integer IS NULL
        OR NOT EXISTS (SELECT 1 FROM network.presence e WHERE e.network_id = n.id OFFSET $3))
RETURNING id
"""
UNTOLD = """
SELECT n.id FROM network.network n
 WHERE n.peers_told < n.peers_version
   AND (n.peers_told_at IS NULL
        OR n.peers_told_at + $2::interval * (SELECT count(*) FROM network.presence e WHERE e.network_id = n.id) < $1)
 ORDER BY n.id
"""


def tap_name(port_id: str) -> str:
    """The name of a port's tap on its host."""
    return "tap" + port_id[-TAP_LETTERS:]


async def plug_orders(tx: Any, hosts: Mapping[str, str]) -> dict[str, list[PlugPort]]:
    """For each server the orders that make its ports real on its host, first card first, with the pictures of their
    networks as they are now. `hosts` are hosts by server id; a server without ports has no orders."""
    orders: dict[str, list[PlugPort]] = {server_id: [] for server_id in hosts}
    for row in await tx.fetch(PORTS, list(hosts), list(hosts.values())):
        orders[row["server_id"]].append(_plug(row))
    return orders


def _plug(row: Any) -> PlugPort:
    segment = Segment(
        network_id=row["network_id"],
        kind=row["kind"],
        vni=row["vni"],
        mtu=row["mtu"],
        dhcp_port_id=row["dhcp_port_id"],
        dhcp_mac=row["dhcp_mac"],
        subnets=msgspec.convert(row["subnets"], list[Subnet]),
        peers=list(row["peers"]) if row["kind"] == "vxlan" else [],
        peers_version=row["peers_version"],
    )
    binding = PortBinding(
        port_id=row["id"],
        tap=tap_name(row["id"]),
        mac=row["mac"],
        fixed_ips=[(subnet_id, address) for subnet_id, address in row["fixed_ips"]],
        hostname=row["hostname"],
        port_security=row["port_security_enabled"],
        metadata=None,
    )
    return PlugPort(port_id=row["id"], segment=segment, binding=binding)


def plug_telling(order: PlugPort, metadata: InstanceMetadata) -> PlugPort:
    """The same order, with what the metadata service is to tell the port's guest."""
    binding = msgspec.structs.replace(order.binding, metadata=metadata)
    return msgspec.structs.replace(order, binding=binding)


def unplug_order(port_id: str, network_id: str) -> UnplugPort:
    """The order that removes a port from its host."""
    return UnplugPort(port_id=port_id, network_id=network_id, tap=tap_name(port_id))


async def peers_changed(tx: Any, network_id: str, *, most: int | None = None) -> list[tuple[str, UpdatePeers]]:
    """For each host that a tunnel network is present on, its newest picture of the others; flat ones have no peers.

    Nothing when the picture was given out before, or when the network is on more than `most` hosts: the caller sends
    it. Ask for it in the transaction that bound or unbound a port, or later: the pictures' versions grow with the
    commits.
    """
    if await tx.fetchval(PEERS_TOLD, network_id, clock.now(), most) is None:
        return []
    rows = [row for row in await tx.fetch(PICTURE, network_id) if row["kind"] == "vxlan"]
    return [
        (
            row["host"],
            UpdatePeers(
                network_id=network_id,
                peers=sorted({one["address"] for one in rows if one["address"] and one["host"] != row["host"]}),
                peers_version=row["peers_version"],
            ),
        )
        for row in rows
    ]


async def networks_untold(store: Any, pause_a_host: timedelta) -> list[str]:
    """Networks whose hosts have not been told of all their peers, and were not told anything lately: for
    `pause_a_host` times the number of their hosts."""
    return [row["id"] for row in await store.fetch(UNTOLD, clock.now(), pause_a_host)]


async def hosts_refresh(tx: Any, network_id: str) -> None:
    """Have the network's hosts brought up to date with what the caller's transaction changes."""
    await operation_start(tx, "network_refresh", resource_type="network", resource_id=network_id, exclusive=False)


async def ports_expected_on(store: Any, host: str) -> list[Any]:
    """The servers' ports that are bound to `host` (id, network_id, server_id): what its agent's report should list."""
    return list(await store.fetch(ON_HOST, host))


async def ports_wired_on(store: Any, network_id: str) -> list[Any]:
    """The servers' ports of a network that are bound (id, network_id, server_id, host): after a change of the network
    or its subnets each server's `plug_orders`, sent again, brings its host up to date."""
    return list(await store.fetch(ON_NETWORK, network_id))

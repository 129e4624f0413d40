"""What a network looks like to somebody who puts a port on it: one query for any number of networks."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec

from skybus.errors import BadRequest
from skybus.network import errors
from skybus.network.pools import usable

SELECT = """
SELECT n.id, n.project_id, n.name, n.shared, n.external, n.port_security_enabled, n.mtu, n.created_at,
       COALESCE((SELECT jsonb_agg(jsonb_build_object('id', s.id, 'cidr', s.cidr, 'pools', s.pools,
                                                     'enable_dhcp', s.enable_dhcp,
                                                     'highest', (SELECT host(max(a.ip)) FROM network.address a
                                                                  WHERE a.subnet_id = s.id))
                                  ORDER BY s.created_at, s.id)
                   FROM network.subnet s WHERE s.network_id = n.id), '[]') AS subnets
  FROM network.network n
"""
BY_IDS = f"{SELECT} WHERE n.id = ANY($1::uuid[])"
# What a server may be put on without saying which: a project's own networks and the shared ones, but not the outside.
FOR_PROJECT = f"{SELECT} WHERE (n.project_id = $1 AND NOT n.external) OR n.shared ORDER BY n.created_at, n.id LIMIT 2"


class SubnetShape(msgspec.Struct, frozen=True):
    """A subnet as one of its network's."""

    id: str
    cidr: str
    pools: list[tuple[str, str]]
    enable_dhcp: bool
    highest: str | None
    """The highest address that is taken."""

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.cidr else 4

    def holds(self, address: str) -> bool:
        """Whether a port of this subnet could have `address`."""
        number, network = ip_address(address), ip_network(self.cidr)
        first, last = usable(network)
        return number.version == network.version and first <= int(number) <= last


class NetworkShape(msgspec.Struct, frozen=True, kw_only=True):
    """A network and its subnets, oldest first."""

    id: str
    project_id: str
    name: str
    shared: bool
    external: bool
    port_security_enabled: bool
    mtu: int
    subnets: list[SubnetShape]

    def subnet(self, subnet_id: str) -> SubnetShape:
        """One of its subnets. Raises BadRequest."""
        for subnet in self.subnets:
            if subnet.id == subnet_id:
                return subnet
        raise errors.invalid(
            f"Failed to create port on network {self.id}, because fixed_ips included invalid subnet {subnet_id}"
        )

    def subnet_of(self, address: str) -> SubnetShape:
        """The subnet that holds `address`. Raises BadRequest."""
        for subnet in self.subnets:
            if subnet.holds(address):
                return subnet
        raise BadRequest(
            f"IP address {address} is not a valid IP for any of the subnets on the specified network.",
            type="InvalidIpForNetwork",
        )

    def target(self, project_id: str) -> dict[str, Any]:
        """What policy rules may ask of a port that `project_id` wants here."""
        return {
            "project_id": project_id,
            "network.project_id": self.project_id,
            "shared": self.shared,
            "external": self.external,
        }


def _shape(row: Any) -> NetworkShape:
    return NetworkShape(
        id=row["id"],
        project_id=row["project_id"],
        name=row["name"],
        shared=row["shared"],
        external=row["external"],
        port_security_enabled=row["port_security_enabled"],
        mtu=row["mtu"],
        subnets=msgspec.convert(row["subnets"], list[SubnetShape]),
    )


async def shapes_get(store: Any, network_ids: Sequence[str]) -> dict[str, NetworkShape]:
    """The networks among `network_ids` that exist, by id."""
    return {row["id"]: _shape(row) for row in await store.fetch(BY_IDS, list(network_ids))}


async def shape_get(store: Any, network_id: str) -> NetworkShape:
    """One network. Raises NotFound."""
    found = await shapes_get(store, [network_id])
    if network_id not in found:
        raise errors.network_not_found(network_id)
    return found[network_id]


async def shapes_for_project(store: Any, project_id: str) -> list[NetworkShape]:
    """The networks that a server of the project may be put on unasked; two at most, for two are too many to choose."""
    return [_shape(row) for row in await store.fetch(FOR_PROJECT, project_id)]

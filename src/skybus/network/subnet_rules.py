"""What a subnet may look like, decided without I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any

import msgspec

from skybus.errors import BadRequest
from skybus.network.errors import invalid
from skybus.network.pools import (
    Address,
    Cidr,
    Pool,
    address_of,
    check_gateway,
    checked_pools,
    cidr_of,
    default_gateway,
)

MOST_NAMESERVERS = 5
MOST_ROUTES = 20


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A subnet's gateway, name servers and routes, each in its one spelling."""

    gateway: Address | None
    dns_nameservers: list[str]
    host_routes: list[tuple[str, str]]

    @property
    def gateway_text(self) -> str | None:
        """The gateway's address."""
        return None if self.gateway is None else str(self.gateway)

    @classmethod
    def of(
        cls, cidr: Cidr, gateway_ip: str | None, nameservers: Sequence[str], routes: Sequence[Sequence[str]]
    ) -> Shape:
        """Check all of it against `cidr`. An empty `gateway_ip` is the default one. Raises BadRequest."""
        gateway = None
        if gateway_ip is not None:
            gateway = address_of(gateway_ip, "gateway_ip", cidr.version) if gateway_ip else default_gateway(cidr)
            check_gateway(cidr, gateway)
        return cls(
            gateway=gateway, dns_nameservers=_nameservers(nameservers), host_routes=_routes(cidr.version, routes)
        )


def _nameservers(asked: Sequence[str]) -> list[str]:
    if len(asked) > MOST_NAMESERVERS:
        raise BadRequest(
            f"The number of DNS nameservers exceeds the limit {MOST_NAMESERVERS}.", type="DNSNameServersExhausted"
        )
    servers = [str(address_of(text, "dns_nameservers")) for text in asked]
    if len(set(servers)) != len(servers):
        raise invalid("duplicate nameserver in dns_nameservers")
    return servers


def _routes(version: int, asked: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    if len(asked) > MOST_ROUTES:
        raise BadRequest(f"The number of host routes exceeds the limit {MOST_ROUTES}.", type="HostRoutesExhausted")
    routes = []
    for destination, nexthop in asked:
        try:
            network = ip_network(destination, strict=False)
        except ValueError:
            raise invalid(f"'{destination[:64]}' is not a valid CIDR in host_routes") from None
        if network.version != version:
            raise invalid(f"host_routes destination '{network}' does not match the subnet's ip_version {version}")
        routes.append((str(network), str(address_of(nexthop, "host_routes", version))))
    if len(set(routes)) != len(routes):
        raise invalid("duplicate route in host_routes")
    return routes


def changed_shape(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Shape, list[Pool]]:
    """The shape and the pools of a subnet after an update. Raises BadRequest or Conflict."""
    cidr = cidr_of(old["cidr"], old["ip_version"])
    # On an update an empty gateway is an error, not a default: Neutron has no word for "the default again".
    if new["gateway_ip"] == "":
        raise invalid("'' is not a valid IP address for gateway_ip")
    shape = Shape.of(cidr, new["gateway_ip"], new["dns_nameservers"], new["host_routes"])
    return shape, checked_pools(cidr, shape.gateway, [(low, high) for low, high in new["pools"]])

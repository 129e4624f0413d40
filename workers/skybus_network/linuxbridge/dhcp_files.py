"""What dnsmasq reads, as text: a network and its ports in, the files out.

Nothing that a user wrote gets in unless it is an address or one label of a host name.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from skybus.messages.network import PortBinding, Subnet
from skybus_network.checks import LABEL
from skybus_network.picture import KnownNetwork

INTERFACE = "dhcp0"
"""The DHCP namespace's end of the cable."""
METADATA_IP = "169.254.169.254"
LEASE_SECONDS = 86_400
LEASES_MOST = 65_536


@dataclass(frozen=True, slots=True)
class DhcpFiles:
    """What one DHCP server is told. A change of `conf` needs a new server; the others it reads again on request."""

    conf: str
    hosts: str
    options: str
    given: dict[str, str]
    """MAC by address, of all that the server may give."""


def served_subnets(network: KnownNetwork) -> list[tuple[Subnet, ipaddress.IPv4Network]]:
    """The subnets in which the network's DHCP port has an IPv4 address."""
    if network.segment.dhcp_mac is None:
        return []
    found = [(subnet, ipaddress.ip_network(subnet.cidr)) for subnet in network.segment.subnets if subnet.dhcp_ip]
    return [(subnet, cidr) for subnet, cidr in found if isinstance(cidr, ipaddress.IPv4Network)]


def dhcp_files(network: KnownNetwork) -> DhcpFiles | None:
    """The files of the network's DHCP server, or None when no subnet wants one."""
    subnets = [(subnet, cidr) for subnet, cidr in served_subnets(network) if subnet.enable_dhcp]
    if not subnets:
        return None
    hosts, given = _hosts(network, {subnet.subnet_id for subnet, _ in subnets})
    options = [f"option:mtu,{network.segment.mtu}"]
    for subnet, _ in subnets:
        options += _subnet_options(subnet, [cidr for other, cidr in served_subnets(network) if other is not subnet])
    return DhcpFiles(
        conf="".join(f"{line}\n" for line in [*_FIXED, *(_range(subnet, cidr) for subnet, cidr in subnets)]),
        hosts="".join(f"{line}\n" for line in hosts),
        options="".join(f"{line}\n" for line in options),
        given=given,
    )


_FIXED = [
    "no-hosts",
    "no-resolv",
    "port=0",  # no DNS
    f"interface={INTERFACE}",
    "except-interface=lo",
    "bind-dynamic",
    "dhcp-authoritative",
    # Every address is written down here, so a restarted server knows all it needs without a lease file.
    "leasefile-ro",
    f"dhcp-lease-max={LEASES_MOST}",
    "quiet-dhcp",  # a guest must not be able to fill the host's disk with log lines
]


def _range(subnet: Subnet, cidr: ipaddress.IPv4Network) -> str:
    return f"dhcp-range=set:{_tag(subnet)},{cidr.network_address},static,{cidr.netmask},{LEASE_SECONDS}"


def _hosts(network: KnownNetwork, subnet_ids: set[str]) -> tuple[list[str], dict[str, str]]:
    """One line for each port: the first of its addresses that DHCP may give, as one card has one lease."""
    lines: list[str] = []
    given: dict[str, str] = {}
    for port in sorted(network.ports.values(), key=lambda port: port.port_id):
        address = _first_address(port, subnet_ids)
        if address is not None and address not in given:
            mac = port.mac.lower()
            given[address] = mac
            lines.append(f"{mac},{address},{host_label(port.hostname, address)}")
    return lines, given


def _first_address(port: PortBinding, subnet_ids: set[str]) -> str | None:
    for subnet_id, address in port.fixed_ips:
        if subnet_id in subnet_ids and (ip := ipaddress.ip_address(address)).version == 4:
            return str(ip)
    return None


def host_label(wanted: str, address: str) -> str:
    """The host name to give: the first label of `wanted` where it is one, else one made from the address."""
    label = wanted.partition(".")[0]
    return label.lower() if LABEL.fullmatch(label) else "host-" + address.replace(".", "-")


def _subnet_options(subnet: Subnet, neighbours: list[ipaddress.IPv4Network]) -> list[str]:
    tag = f"tag:{_tag(subnet)}"
    servers = [str(ip) for ip in map(ipaddress.ip_address, subnet.dns_nameservers) if ip.version == 4]
    routes = [part for route in _routes(subnet, neighbours) for part in route]
    return [
        # Without a value the option is not sent; without the line dnsmasq would send its own address.
        ",".join([tag, "option:router", *([subnet.gateway_ip] if subnet.gateway_ip else [])]),
        ",".join([tag, "option:classless-static-route", *routes]),
        *([",".join([tag, "option:dns-server", *servers])] if servers else []),
    ]


def _routes(subnet: Subnet, neighbours: list[ipaddress.IPv4Network]) -> list[tuple[str, str]]:
    """Classless static routes (RFC 3442): a client that gets these ignores the router option, so the way out is here
    too; the metadata service is always reached over the DHCP port. What the user routes goes first."""
    routes: dict[str, str] = {}
    for destination, next_hop in subnet.host_routes:
        cidr = ipaddress.ip_network(destination)
        if cidr.version == 4:
            routes[str(cidr)] = str(ipaddress.ip_address(next_hop))
    routes.setdefault(f"{METADATA_IP}/32", str(subnet.dhcp_ip))
    for neighbour in neighbours:
        routes.setdefault(str(neighbour), "0.0.0.0")  # noqa: S104 - "on this link" in an option
    if subnet.gateway_ip:
        routes.setdefault("0.0.0.0/0", subnet.gateway_ip)
    return list(routes.items())


def _tag(subnet: Subnet) -> str:
    return "s" + subnet.subnet_id.replace("-", "")

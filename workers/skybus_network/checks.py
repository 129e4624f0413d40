"""Refuses an order whose values could not be written into names, rules and files as what they claim to be."""

from __future__ import annotations

import ipaddress
import re
import uuid

from skybus.errors import CommandRefused
from skybus.messages.network import PlugPort, PortBinding, Segment, Subnet

TAP = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,14}")
"""What the kernel takes as an interface name and nft and dnsmasq cannot misread."""
MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
"""One label of a host name."""
LONGEST_VNI = (1 << 24) - 1
MTU_RANGE = range(576, 65_536)


def plug_check(order: PlugPort) -> None:
    """Raises `CommandRefused` with the first thing that is wrong."""
    if order.port_id != order.binding.port_id:
        raise refused("the order is for one port and its binding for another")
    segment_check(order.segment)
    binding_check(order.binding)


def segment_check(segment: Segment) -> None:
    """Raises `CommandRefused` unless every value of the segment is what its name says."""
    id_check(segment.network_id, "network")
    if segment.kind == "vxlan" and (segment.vni is None or not 0 < segment.vni <= LONGEST_VNI):
        raise refused(f"{segment.vni} is no VXLAN network identifier")
    if segment.mtu not in MTU_RANGE:
        raise refused(f"an MTU of {segment.mtu} bytes is not possible")
    if segment.dhcp_mac is not None:
        mac_check(segment.dhcp_mac)
    for subnet in segment.subnets:
        subnet_check(subnet)
    for peer in segment.peers:
        address_of(peer)


def subnet_check(subnet: Subnet) -> None:
    """Raises `CommandRefused` unless the subnet's addresses are addresses, of one version and in its network."""
    id_check(subnet.subnet_id, "subnet")
    network = network_of(subnet.cidr)
    for address in (subnet.gateway_ip, subnet.dhcp_ip):
        if address is not None and address_of(address).version != network.version:
            raise refused(f"{address} is not of the version of {network}")
    if subnet.dhcp_ip is not None and address_of(subnet.dhcp_ip) not in network:
        raise refused(f"the DHCP address {subnet.dhcp_ip} is not in {network}")
    for server in subnet.dns_nameservers:
        address_of(server)
    for destination, next_hop in subnet.host_routes:
        if network_of(destination).version != address_of(next_hop).version:
            raise refused(f"the route to {destination} goes over an address of another version")


def binding_check(binding: PortBinding) -> None:
    """Raises `CommandRefused` unless every value of the binding is what its name says. The host name is not looked
    at: a name that no DHCP server may give is not given."""
    id_check(binding.port_id, "port")
    if not TAP.fullmatch(binding.tap):
        raise refused("the tap has a name that no interface can have")
    mac_check(binding.mac)
    for _, address in binding.fixed_ips:
        address_of(address)


def tap_check(tap: str) -> None:
    """Raises `CommandRefused` unless an interface could be called so."""
    if not TAP.fullmatch(tap):
        raise refused("the tap has a name that no interface can have")


def id_check(value: str, what: str) -> None:
    """Raises `CommandRefused` unless `value` is a UUID in its usual form: ids become parts of paths."""
    try:
        usual: str | None = str(uuid.UUID(value))
    except ValueError:
        usual = None
    if usual != value:
        raise refused(f"the {what} id is not a UUID")


def mac_check(value: str) -> None:
    """Raises `CommandRefused` unless `value` is the address of one card."""
    if not MAC.fullmatch(value) or int(value[:2], 16) & 1 or value == "00:00:00:00:00:00":
        raise refused("the MAC address is not that of a network card")


def address_of(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address in `value`. Raises `CommandRefused`."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise refused("an IP address was expected, and the text is none") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise refused("an IP address of the network cannot name an interface")
    return address


def network_of(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The network in `value`. Raises `CommandRefused`."""
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        raise refused("a CIDR was expected, and the text is none") from None


def refused(reason: str) -> CommandRefused:
    """The error for an order that this host will never carry out."""
    return CommandRefused(reason, code="network.port-refused")

"""The nft rules against spoofing, as text: the picture in, one whole table out.

A port with port security may send from its own MAC and addresses alone, and may not play the DHCP server or the
router. The DHCP port has one MAC and address on every host, so frames of it stay off the tunnels. Nothing that comes
from a network is for the host itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping

from skybus.errors import CommandRefused
from skybus.messages.network import PortBinding, Segment
from skybus_network.checks import address_of, binding_check, segment_check
from skybus_network.linuxbridge.names import Names
from skybus_network.picture import KnownNetwork

CLOSED = ["drop"]
"""The rules of a port that we cannot guard: nothing leaves it."""


def guard_text(names: Names, networks: Mapping[str, KnownNetwork], quarantined: Collection[str] = ()) -> str:
    """The nft commands that replace the whole table in one transaction.

    `quarantined` are taps that we know nothing of; nothing may leave them. With nothing to guard there is no table.
    """
    table = f"table bridge {names.guard_table}"
    emptied = [f"add {table}", f"delete {table}"]
    if not networks and not quarantined:
        return "\n".join([*emptied, ""])
    chains: list[str] = []
    entries: dict[str, str] = dict.fromkeys(quarantined, "drop")
    outgoing: dict[str, str] = {}
    ours: set[str] = set(quarantined)
    for network in sorted(networks.values(), key=lambda network: network.id):
        tunnel = names.tunnel(network.id)
        ours |= {tunnel, names.dhcp_veth(network.id), *(port.tap for port in network.ports.values())}
        if (mac := network.segment.dhcp_mac) is not None and network.segment.kind == "vxlan":
            suffix = _identifier(network.id)
            chains += [_chain(f"in_{suffix}", _tunnel_in(mac)), _chain(f"out_{suffix}", _tunnel_out(network.segment))]
            entries[tunnel] = f"jump in_{suffix}"
            outgoing[tunnel] = f"jump out_{suffix}"
        for port in sorted(network.ports.values(), key=lambda port: port.port_id):
            if port.port_security:
                chain = f"port_{_identifier(port.port_id)}"
                chains.append(_chain(chain, port_rules(port)))
                entries[port.tap] = f"jump {chain}"
    chains += [
        _chain("prerouting", [_map("iifname", entries)] if entries else [], hook="prerouting priority -300"),
        _chain("forward", [_map("oifname", outgoing)] if outgoing else [], hook="forward priority -200"),
        _chain("input", [f"iifname {_names(ours)} drop"] if ours else [], hook="input priority -200"),
    ]
    return "\n".join([*emptied, f"{table} {{", *chains, "}", ""])


def port_rules(port: PortBinding) -> list[str]:
    """What may leave a port's tap, as rules in order. A port that cannot be guarded is closed."""
    try:
        binding_check(port)
    except CommandRefused:
        return CLOSED
    mac = port.mac.lower()
    addresses = [address_of(address) for _, address in port.fixed_ips]
    return [
        f"ether saddr != {mac} drop",
        # Also what hides behind a VLAN tag ends here.
        "ether type != { arp, ip, ip6 } drop",
        *_arp_rules(mac, [str(ip) for ip in addresses if ip.version == 4]),
        *_ipv4_rules([str(ip) for ip in addresses if ip.version == 4]),
        *_ipv6_rules([link_local(mac), *(ip for ip in addresses if isinstance(ip, ipaddress.IPv6Address))]),
        "drop",
    ]


def _arp_rules(mac: str, addresses: list[str]) -> list[str]:
    # 0.0.0.0 asks whether an address is free, and claims none.
    return [
        f"ether type arp arp saddr ether != {mac} drop",
        f"ether type arp arp saddr ip {_set(['0.0.0.0', *addresses])} accept",  # noqa: S104 - an address in a rule
        "ether type arp drop",
    ]


def _ipv4_rules(addresses: list[str]) -> list[str]:
    rules = [
        "ether type ip udp sport 67 drop",
        "ether type ip udp dport 68 drop",
        "ether type ip ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept",
    ]
    if addresses:
        rules.append(f"ether type ip ip saddr {_set(addresses)} accept")
    return [*rules, "ether type ip drop"]


def _ipv6_rules(addresses: list[ipaddress.IPv6Address]) -> list[str]:
    """Neighbour advertisements may be for these addresses only; the target stands 8 bytes into the message."""
    own = _set([str(address) for address in addresses])
    targets = [
        f"ether type ip6 ip6 saddr {own} icmpv6 type nd-neighbor-advert @th,64,128 {int(address):#034x} accept"
        for address in addresses
    ]
    return [
        "ether type ip6 udp sport 547 drop",
        "ether type ip6 udp dport 546 drop",
        "ether type ip6 icmpv6 type { nd-router-advert, nd-redirect } drop",
        *targets,
        "ether type ip6 icmpv6 type nd-neighbor-advert drop",
        "ether type ip6 ip6 saddr :: icmpv6 type "
        "{ nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld2-listener-report } accept",
        f"ether type ip6 ip6 saddr {own} accept",
    ]


def _tunnel_in(dhcp_mac: str) -> list[str]:
    mac = dhcp_mac.lower()
    return [f"ether saddr {mac} drop", f"ether daddr {mac} drop"]


def _tunnel_out(segment: Segment) -> list[str]:
    """Every host answers its own guests, so nothing for the DHCP port needs to travel, calls to everyone included."""
    segment_check(segment)
    rules = _tunnel_in(segment.dhcp_mac or "")
    if any(subnet.enable_dhcp and subnet.dhcp_ip for subnet in segment.subnets):
        rules.append("ether type ip udp sport 68 udp dport 67 drop")
    return rules


def link_local(mac: str) -> ipaddress.IPv6Address:
    """The link-local address that a card with this MAC gives itself (RFC 4291, modified EUI-64)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    interface = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + interface)


def _chain(name: str, rules: Iterable[str], *, hook: str = "") -> str:
    lines = [f" type filter hook {hook}; policy accept;"] if hook else []
    return "\n".join([f"chain {name} {{", *lines, *(f" {rule}" for rule in rules), "}"])


def _map(key: str, entries: Mapping[str, str]) -> str:
    return f"{key} vmap {{ " + ", ".join(f'"{name}" : {verdict}' for name, verdict in sorted(entries.items())) + " }"


def _names(names: Iterable[str]) -> str:
    return _set([f'"{name}"' for name in sorted(names)])


def _set(values: Iterable[str]) -> str:
    return "{ " + ", ".join(dict.fromkeys(values)) + " }"


def _identifier(of: str) -> str:
    return of.replace("-", "")

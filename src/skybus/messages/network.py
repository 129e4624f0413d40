"""Network: what the conductor orders from a host's data plane, what the host answers and reports, what is announced."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

import msgspec

from skybus.bus.message import Answer, Command, Event, Report
from skybus.messages.compute import InstanceMetadata


class Subnet(msgspec.Struct, frozen=True, kw_only=True):
    """What a host's DHCP server needs of a subnet."""

    subnet_id: str
    cidr: str
    gateway_ip: str | None = None
    dns_nameservers: list[str] = []
    host_routes: list[tuple[str, str]] = []
    """(destination, next hop)."""
    enable_dhcp: bool = True
    dhcp_ip: str | None = None
    """The address of the network's DHCP port in this subnet; the metadata service answers there too."""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """What a host needs to make its end of a network. Idempotent: the same segment makes the same bridge."""

    network_id: str
    kind: Literal["vxlan", "flat"]
    vni: int | None = None
    mtu: int
    dhcp_port_id: str | None = None
    dhcp_mac: str | None = None
    subnets: list[Subnet] = []
    peers: list[str] = []
    """Underlay addresses of the other hosts that have ports on this network."""
    peers_version: int = 0
    """Grows with each change of `peers`; a host ignores an older picture."""


class PortBinding(msgspec.Struct, frozen=True, kw_only=True):
    """A port as its host wires it. Only these MAC and addresses may leave the tap when `port_security` is on."""

    port_id: str
    tap: str
    mac: str
    fixed_ips: list[tuple[str, str]]
    """(subnet id, address)."""
    hostname: str
    port_security: bool = True
    metadata: InstanceMetadata | None = None
    """What the metadata service tells a guest that asks from this port."""


# --- commands to `network.<host>`


class PortPlugged(Answer, frozen=True, kw_only=True):
    """The tap exists, is on its network's bridge, guarded against spoofing, and DHCP knows it."""

    TYPE: ClassVar[str] = "skybus.network.answer.port-plugged.v1"
    SUBJECT: ClassVar[str] = "port_id"
    port_id: str


class PlugPort(Command, frozen=True, kw_only=True):
    """Make a port real on this host: bridge, tap, anti-spoofing, DHCP entry, metadata. Content to find it so.

    Sent again with other contents, it brings the host up to date.
    """

    TYPE: ClassVar[str] = "skybus.network.command.plug-port.v1"
    SUBJECT: ClassVar[str] = "port_id"
    ANSWER: ClassVar[type[Answer]] = PortPlugged
    port_id: str
    segment: Segment
    binding: PortBinding


class PortUnplugged(Answer, frozen=True, kw_only=True):
    """Nothing of the port is left on this host; with a network's last port its bridge and DHCP server went too."""

    TYPE: ClassVar[str] = "skybus.network.answer.port-unplugged.v1"
    SUBJECT: ClassVar[str] = "port_id"
    port_id: str


class UnplugPort(Command, frozen=True, kw_only=True):
    """Remove a port from this host. Content to find nothing."""

    TYPE: ClassVar[str] = "skybus.network.command.unplug-port.v1"
    SUBJECT: ClassVar[str] = "port_id"
    ANSWER: ClassVar[type[Answer]] = PortUnplugged
    port_id: str
    network_id: str
    tap: str


class PeersKnown(Answer, frozen=True, kw_only=True):
    """The host floods the network to these peers now, or already knew a newer picture."""

    TYPE: ClassVar[str] = "skybus.network.answer.peers-known.v1"
    SUBJECT: ClassVar[str] = "network_id"
    network_id: str
    peers_version: int


class UpdatePeers(Command, frozen=True, kw_only=True):
    """The hosts that share a VXLAN network changed. Ignored by a host without ports on it."""

    TYPE: ClassVar[str] = "skybus.network.command.update-peers.v1"
    SUBJECT: ClassVar[str] = "network_id"
    ANSWER: ClassVar[type[Answer]] = PeersKnown
    network_id: str
    peers: list[str]
    peers_version: int


# --- reports from `network.<host>`


class PortSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One port as a host finds it."""

    port_id: str
    network_id: str


class NetworkReport(Report, frozen=True, kw_only=True):
    """A network agent's heartbeat and the ports that are wired on its host."""

    TYPE: ClassVar[str] = "skybus.network.report.ports.v1"
    SUBJECT: ClassVar[str] = "host"
    host: str
    taken_at: datetime
    started: bool
    ports: list[PortSeen] = []
    networks: list[str] = []
    """Every network that has anything on this host, with or without ports."""


# --- events


class NetworkCreated(Event, frozen=True, kw_only=True):
    """A network exists; nothing is on any host before its first port is plugged."""

    TYPE: ClassVar[str] = "skybus.network.network.created.v1"
    SUBJECT: ClassVar[str] = "network_id"
    network_id: str
    name: str


class NetworkUpdated(Event, frozen=True, kw_only=True):
    """Attributes of a network changed."""

    TYPE: ClassVar[str] = "skybus.network.network.updated.v1"
    SUBJECT: ClassVar[str] = "network_id"
    network_id: str
    changed: list[str]


class NetworkDeleted(Event, frozen=True, kw_only=True):
    """A network is gone."""

    TYPE: ClassVar[str] = "skybus.network.network.deleted.v1"
    SUBJECT: ClassVar[str] = "network_id"
    network_id: str


class SubnetCreated(Event, frozen=True, kw_only=True):
    """A network has a new subnet."""

    TYPE: ClassVar[str] = "skybus.network.subnet.created.v1"
    SUBJECT: ClassVar[str] = "subnet_id"
    subnet_id: str
    network_id: str
    cidr: str


class SubnetUpdated(Event, frozen=True, kw_only=True):
    """Attributes of a subnet changed."""

    TYPE: ClassVar[str] = "skybus.network.subnet.updated.v1"
    SUBJECT: ClassVar[str] = "subnet_id"
    subnet_id: str
    changed: list[str]


class SubnetDeleted(Event, frozen=True, kw_only=True):
    """A subnet is gone."""

    TYPE: ClassVar[str] = "skybus.network.subnet.deleted.v1"
    SUBJECT: ClassVar[str] = "subnet_id"
    subnet_id: str
    network_id: str


class PortCreated(Event, frozen=True, kw_only=True):
    """A port exists and holds its addresses."""

    TYPE: ClassVar[str] = "skybus.network.port.created.v1"
    SUBJECT: ClassVar[str] = "port_id"
    port_id: str
    network_id: str
    device_id: str
    device_owner: str
    mac: str
    addresses: list[str]


class PortUpdated(Event, frozen=True, kw_only=True):
    """A port was bound, unbound, went up or down, or other attributes changed."""

    TYPE: ClassVar[str] = "skybus.network.port.updated.v1"
    SUBJECT: ClassVar[str] = "port_id"
    port_id: str
    changed: list[str]


class PortDeleted(Event, frozen=True, kw_only=True):
    """A port is gone and its addresses are free."""

    TYPE: ClassVar[str] = "skybus.network.port.deleted.v1"
    SUBJECT: ClassVar[str] = "port_id"
    port_id: str
    network_id: str

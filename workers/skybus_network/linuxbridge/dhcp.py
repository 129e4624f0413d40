"""A network's DHCP namespace on this host: the cable to the bridge, the addresses, the DHCP server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from skybus.errors import CommandTroubled
from skybus_network.linuxbridge.devices import checksum_offload_off, forwarding_off, ipv6_off
from skybus_network.linuxbridge.dhcp_files import INTERFACE, METADATA_IP, dhcp_files, served_subnets
from skybus_network.linuxbridge.dnsmasq import Dnsmasq
from skybus_network.linuxbridge.link_list import Link
from skybus_network.linuxbridge.links import Links
from skybus_network.linuxbridge.names import Names
from skybus_network.linuxbridge.namespaces import FOLDER, inside, namespace_ensure, namespace_id, namespace_remove
from skybus_network.picture import KnownNetwork


class Dhcp:
    """The DHCP namespaces of one host. The same MAC and addresses on every host: each serves its own guests."""

    def __init__(self, names: Names, host: Links, host_namespace: str | None, folder: Path) -> None:
        """`host` are the links of `host_namespace`, which holds the bridges."""
        self._names = names
        self._host = host
        self._host_namespace = host_namespace
        self._folder = folder
        self._made: dict[str, tuple[object, ...]] = {}
        """What each namespace was last made to be; a port more or less does not change it."""

    def wanted(self, network: KnownNetwork) -> bool:
        """Whether the network has DHCP or metadata at all."""
        return bool(served_subnets(network))

    async def apply(self, network: KnownNetwork, bridge: Link, cable: Link | None) -> None:
        """Make or mend the network's namespace and its server; `cable` is the bridge's end of the cable as it was seen
        just now. Raises `CommandTroubled`."""
        namespace = self._names.dhcp_namespace(network.id)
        wanted = (network.segment.dhcp_mac, network.segment.mtu, network.segment.subnets, bridge.index)
        connected = cable is not None and cable.up and cable.master == bridge.index
        if not connected or self._made.get(network.id) != (*wanted, namespace_id(namespace)):
            await self._namespace(network, bridge, namespace)
            self._made[network.id] = (*wanted, namespace_id(namespace))
        files = dhcp_files(network)
        server = self._server(network.id)
        if files is None:
            await server.remove()
        else:
            await server.apply(files)

    async def _namespace(self, network: KnownNetwork, bridge: Link, namespace: str) -> None:
        if namespace_id(namespace) is None:
            await namespace_ensure(namespace)
            await self._inside(namespace, _quiet)
        async with await Links.open(namespace) as links:
            end = await self._cable(network, bridge, links, namespace)
            await self._address(network, end, links)

    async def _cable(self, network: KnownNetwork, bridge: Link, links: Links, namespace: str) -> Link:
        """The namespace's end of the cable; the other end is on the bridge."""
        name = self._names.dhcp_veth(network.id)
        here, there = await self._host.find(name), await links.find(INTERFACE)
        if here is None or there is None:
            await self._host.remove(name)
            await links.remove(INTERFACE)
            here, there = await self._lay_cable(name, links, namespace)
        mtu = network.segment.mtu
        if here.alias != (alias := self._names.alias("network", network.id)):
            await self._host.change(here, ifalias=alias)
        if (here.master, here.mtu, here.up) != (bridge.index, mtu, True):
            await self._host.change(here, master=bridge.index, mtu=mtu, state="up")
        return there

    async def _lay_cable(self, name: str, links: Links, namespace: str) -> tuple[Link, Link]:
        descriptor = os.open(FOLDER / namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            here = await self._host.add(name, "veth", peer={"ifname": INTERFACE, "net_ns_fd": descriptor})
        finally:
            os.close(descriptor)
        there = await links.find(INTERFACE)
        if there is None:
            raise CommandTroubled(f"the cable into {namespace} has one end only")
        await self._inside(namespace, lambda: checksum_offload_off(INTERFACE))
        await self._inside(self._host_namespace, lambda: ipv6_off(name))
        return here, there

    async def _address(self, network: KnownNetwork, end: Link, links: Links) -> None:
        mac, mtu = str(network.segment.dhcp_mac).lower(), network.segment.mtu
        if (end.mac, end.mtu, end.up) != (mac, mtu, True):
            await links.change(end, address=mac, mtu=mtu, state="up")
        addresses = {(str(subnet.dhcp_ip), cidr.prefixlen) for subnet, cidr in served_subnets(network)}
        await links.addresses_set(end, addresses | {(METADATA_IP, 32)})
        loopback = await links.find("lo")
        if loopback is not None and not loopback.up:
            await links.change(loopback, state="up")

    async def _inside(self, namespace: str | None, work: Callable[[], None]) -> None:
        try:
            await inside(namespace, work)
        except OSError as error:
            raise CommandTroubled(
                f"could not set up namespace {namespace or 'of the host'}: {error.strerror}"
            ) from error

    def alive(self, network: KnownNetwork) -> bool:
        """Whether the namespace is there and, where one is wanted, a server runs in it. Blocks for a moment."""
        if not self.wanted(network):
            return True
        if namespace_id(self._names.dhcp_namespace(network.id)) is None:
            return False
        return dhcp_files(network) is None or self._server(network.id).pid() is not None

    async def remove(self, network_id: str) -> None:
        """Remove namespace, server, cable and files. Content to find nothing. Raises `CommandTroubled`."""
        self._made.pop(network_id, None)
        await self._server(network_id).remove()
        await self._host.remove(self._names.dhcp_veth(network_id))
        await namespace_remove(self._names.dhcp_namespace(network_id))

    def leftovers(self) -> set[str]:
        """The networks that have a folder here. Blocks for a moment."""
        return {path.name for path in self._folder.iterdir()} if self._folder.is_dir() else set()

    def _server(self, network_id: str) -> Dnsmasq:
        return Dnsmasq(self._folder / network_id, self._names.dhcp_namespace(network_id))


def _quiet() -> None:
    """A namespace that speaks no IPv6 and routes nothing: it is on a tenant's network."""
    ipv6_off("all")
    ipv6_off("default")
    forwarding_off()

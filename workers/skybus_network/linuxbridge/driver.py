"""The data plane of a Linux host, put together: one bridge per network in the host's namespace, a tap per port, a VXLAN
device to the other hosts, a namespace with DHCP and metadata."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import structlog

from skybus.errors import CommandTroubled
from skybus.messages.network import PortBinding
from skybus_network.checks import refused
from skybus_network.dataplane import Survey
from skybus_network.linuxbridge.devices import ipv6_off, tap_make
from skybus_network.linuxbridge.dhcp import Dhcp
from skybus_network.linuxbridge.firewall import Firewall
from skybus_network.linuxbridge.link_list import Link, Tunnel
from skybus_network.linuxbridge.links import Links
from skybus_network.linuxbridge.metadata import Metadata
from skybus_network.linuxbridge.names import Names
from skybus_network.linuxbridge.namespaces import inside, namespace_list
from skybus_network.picture import KnownNetwork

log = structlog.get_logger()


class LinuxBridge:
    """A `DataPlane` on Linux bridges."""

    def __init__(self, *, names: Names, namespace: str | None, address: str, vxlan_port: int, folder: Path) -> None:
        """`namespace` holds bridges and taps; `address` is this host's end of tunnels; `folder` is ours to write in."""
        self._names = names
        self._namespace = namespace
        self._address = address
        self._vxlan_port = vxlan_port
        self._folder = folder
        self._firewall = Firewall(names, namespace)
        self._opened = AsyncExitStack()

    async def open(self, networks: Mapping[str, KnownNetwork]) -> None:
        """Connect to the kernel, and let the guard stand before anything else does."""
        self._networks = networks
        self._links = await self._opened.enter_async_context(await Links.open(self._namespace))
        self._dhcp = Dhcp(self._names, self._links, self._namespace, self._folder / "dhcp")
        self._metadata = Metadata(networks)
        self._opened.push_async_callback(self._metadata.close)
        await self._quarantine()

    async def close(self) -> None:
        """Let go of the kernel. Metadata is not served until the next start; all else goes on."""
        await self._opened.aclose()

    async def apply(self, network: KnownNetwork) -> None:
        """Make or mend everything of `network`. The guard comes first: its rules wait for the taps they name."""
        self._firewall.quarantined -= {port.tap for port in network.ports.values()}
        await self._firewall.refresh(self._networks)
        links = await self._links.dump()
        bridge = await self._bridge(network, links)
        if network.segment.kind == "vxlan":
            await self._tunnel(network, bridge, links)
        for port in list(network.ports.values()):
            await self._tap(network, port, bridge, links)
        if self._dhcp.wanted(network):
            await self._dhcp.apply(network, bridge, links.get(self._names.dhcp_veth(network.id)))
            await self._metadata.listen(network.id, self._names.dhcp_namespace(network.id))
        else:
            await self._metadata.remove(network.id)
            await self._dhcp.remove(network.id)

    async def _bridge(self, network: KnownNetwork, links: Mapping[str, Link]) -> Link:
        name, mtu = self._names.bridge(network.id), network.segment.mtu
        alias = self._names.alias("network", network.id)
        bridge = links.get(name)
        if bridge is None:
            # Without spanning tree a port forwards at once; without snooping neighbour discovery just works.
            bridge = await self._links.add(name, "bridge", br_stp_state=0, br_forward_delay=0, br_mcast_snooping=0)
            await self._speechless(name)
        if (bridge.alias, bridge.mtu, bridge.up) != (alias, mtu, True):
            await self._links.change(bridge, ifalias=alias)
            await self._links.change(bridge, mtu=mtu, state="up")
        return bridge

    async def _tunnel(self, network: KnownNetwork, bridge: Link, links: Mapping[str, Link]) -> None:
        name, mtu = self._names.tunnel(network.id), network.segment.mtu
        alias = self._names.alias("network", network.id)
        wanted = Tunnel(vni=network.segment.vni or 0, port=self._vxlan_port, local=self._address)
        tunnel = links.get(name)
        if tunnel is not None and tunnel.tunnel != wanted:
            await self._links.remove(name)
            tunnel = None
        if tunnel is None:
            tunnel = await self._links.add(
                name, "vxlan", vxlan_id=wanted.vni, vxlan_port=wanted.port, vxlan_local=wanted.local
            )
            await self._speechless(name)
        # Who floods to whom is set before frames can come.
        await self._links.peers_set(tunnel, [peer for peer in network.segment.peers if peer != self._address])
        if tunnel.alias != alias:
            await self._links.change(tunnel, ifalias=alias)
        if (tunnel.master, tunnel.mtu, tunnel.up) != (bridge.index, mtu, True):
            await self._links.change(tunnel, master=bridge.index, mtu=mtu, state="up")

    async def _tap(self, network: KnownNetwork, port: PortBinding, bridge: Link, links: Mapping[str, Link]) -> None:
        tap, alias = links.get(port.tap), self._names.alias("port", port.port_id)
        if tap is None:
            await self._in_host(f"make tap {port.tap}", partial(_tap_make, port.tap))
            tap = await self._links.find(port.tap)
        if tap is None:
            raise CommandTroubled(f"tap {port.tap} vanished as it was made")
        if tap.alias != alias:
            # One without an alias and a bridge is what a crash left between making and naming it.
            if tap.kind != "tun" or tap.alias or tap.master not in (None, bridge.index):
                raise refused(f"interface {port.tap} is there and not the tap of port {port.port_id}")
            await self._links.change(tap, ifalias=alias)
        if (tap.master, tap.mtu, tap.up) != (bridge.index, network.segment.mtu, True):
            await self._links.change(tap, master=bridge.index, mtu=network.segment.mtu, state="up")

    async def _speechless(self, name: str) -> None:
        await self._in_host(f"keep IPv6 from {name}", partial(ipv6_off, name))

    async def _in_host(self, doing: str, work: Callable[[], None]) -> None:
        try:
            await inside(self._namespace, work)
        except OSError as error:
            raise CommandTroubled(f"could not {doing}: {error.strerror}") from error

    async def tap_remove(self, network_id: str, port_id: str, tap: str) -> None:
        """Remove a port's tap. One that another made under this name is left alone."""
        found = await self._links.find(tap)
        if found is not None and self._names.owner(found.alias) == ("port", port_id):
            await self._links.remove(tap)
            self._firewall.quarantined.discard(tap)

    async def network_remove(self, network_id: str) -> None:
        """Remove everything of a network but taps in use, then its rules."""
        await self._metadata.remove(network_id)
        await self._dhcp.remove(network_id)
        if not self._firewall.quarantined & await self._taps_on(network_id):
            await self._links.remove(self._names.tunnel(network_id))
            await self._links.remove(self._names.bridge(network_id))
        await self._firewall.refresh(self._networks)

    async def _taps_on(self, network_id: str) -> set[str]:
        links = await self._links.dump()
        bridge = links.get(self._names.bridge(network_id))
        return {link.name for link in links.values() if bridge is not None and link.master == bridge.index}

    async def sweep(self) -> None:
        """Remove our unknown taps that nobody uses, and our unknown networks; one that fails keeps none from it."""
        known = self._known_ports()
        for link in (await self._links.dump()).values():
            owner = self._names.owner(link.alias)
            if owner is not None and owner[0] == "port" and owner[1] not in known and not link.carrier:
                log.warning("unknown_tap_removed", tap=link.name, port_id=owner[1])
                await self._links.remove(link.name)
        for network_id in await self._found_networks() - self._networks.keys():
            log.warning("unknown_network_removed", network_id=network_id)
            try:
                await self.network_remove(network_id)
            except CommandTroubled as error:
                log.error("unknown_network_not_removed", network_id=network_id, reason=str(error))

    async def _quarantine(self) -> None:
        """Close our unknown taps that a guest uses: we lost what they may send, so until told again, nothing."""
        known = self._known_ports()
        for link in (await self._links.dump()).values():
            owner = self._names.owner(link.alias)
            if owner is not None and owner[0] == "port" and owner[1] not in known and link.carrier:
                log.error("unknown_tap_in_use", tap=link.name, port_id=owner[1])
                self._firewall.quarantined.add(link.name)
        await self._firewall.refresh(self._networks)

    def _known_ports(self) -> set[str]:
        return {port_id for network in self._networks.values() for port_id in network.ports}

    async def _found_networks(self) -> set[str]:
        owners = [self._names.owner(link.alias) for link in (await self._links.dump()).values()]
        namespaces = [self._names.dhcp_network(name) for name in namespace_list()]
        folders = await asyncio.to_thread(self._dhcp.leftovers)
        return (
            {of for thing, of in filter(None, owners) if thing == "network"} | set(filter(None, namespaces)) | folders
        )

    async def survey(self) -> Survey:
        """Look at the kernel, and at the DHCP servers."""
        links = await self._links.dump()
        guarded = await self._firewall.present() if self._networks else True
        wired: set[str] = set()
        ailing: set[str] = set() if guarded else set(self._networks)
        for network in list(self._networks.values()):
            here = self._wired(network, links)
            wired |= here
            if here != network.ports.keys() or not await self._whole(network, links):
                ailing.add(network.id)
        return Survey(frozenset(wired), frozenset(await self._found_networks()), frozenset(ailing))

    def _wired(self, network: KnownNetwork, links: Mapping[str, Link]) -> set[str]:
        bridge = links.get(self._names.bridge(network.id))
        if bridge is None or not bridge.up:
            return set()
        return {
            port.port_id
            for port in network.ports.values()
            if (tap := links.get(port.tap)) is not None and tap.master == bridge.index and tap.up
        }

    async def _whole(self, network: KnownNetwork, links: Mapping[str, Link]) -> bool:
        """Whether the network's tunnel, its DHCP and its metadata are there."""
        wanted = [self._names.tunnel(network.id)] if network.segment.kind == "vxlan" else []
        if self._dhcp.wanted(network):
            wanted.append(self._names.dhcp_veth(network.id))
            if not self._metadata.listening(network.id, self._names.dhcp_namespace(network.id)):
                return False
        if any(name not in links or not links[name].up for name in wanted):
            return False
        return await asyncio.to_thread(self._dhcp.alive, network)


def _tap_make(name: str) -> None:
    tap_make(name)
    ipv6_off(name)

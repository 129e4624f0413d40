"""The interfaces of one network namespace, over netlink."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from skybus.errors import CommandTroubled
from skybus_network.linuxbridge.namespaces import inside

NETLINK_SECONDS = 10.0
"""Deadline of one request to the kernel, which may wait for another's lock."""
NO_SUCH_DEVICE = 19
EXISTS = 17
CARRIER = 1 << 16
"""IFF_LOWER_UP: for a tap, a program holds it open."""
UP = 1


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What a VXLAN device was made with."""

    vni: int
    port: int
    local: str


@dataclass(frozen=True, slots=True)
class Link:
    """One interface as the kernel shows it."""

    index: int
    name: str
    kind: str | None
    alias: str | None
    master: int | None
    mtu: int
    mac: str
    up: bool
    carrier: bool
    tunnel: Tunnel | None = None


class Links:
    """Interfaces, their addresses and forwarding entries in one namespace. Every method raises `CommandTroubled`
    that says what was being done."""

    def __init__(self, netlink: Any, where: str) -> None:
        self._netlink = netlink
        self._where = where
        # The kernel refuses a second listing on a socket while the first is under way.
        self._lock = asyncio.Lock()

    @classmethod
    async def open(cls, namespace: str | None) -> Self:
        """Connect to the kernel's interfaces of `namespace`."""
        where = namespace or "this namespace"
        route = await asyncio.to_thread(_route)
        try:
            # A socket made inside belongs there; pyroute2's own way would fork this process, and make a missing one.
            own = await inside(namespace, lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0))
        except OSError as error:
            raise CommandTroubled(f"could not look into network namespace {where}: {error.strerror}") from error
        return cls(route(fileno=own.detach()), where)

    async def close(self) -> None:
        """Let go of the kernel."""
        self._netlink.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def dump(self) -> dict[str, Link]:
        """Every interface by name."""
        async with self._doing("list interfaces"):
            return {link.name: link for link in [_link(m) async for m in await self._netlink.link("dump")]}

    async def find(self, name: str) -> Link | None:
        """One interface, or None."""
        from pyroute2.netlink.exceptions import NetlinkError

        async with self._doing(f"find interface {name}"):
            try:
                for message in await self._netlink.link("get", ifname=name):
                    return _link(message)
            except NetlinkError as error:
                if error.code != NO_SUCH_DEVICE:
                    raise
        return None

    async def add(self, name: str, kind: str, **attributes: Any) -> Link:
        """Make an interface and look at it. One that is there is taken as it is: a listing that others' changes
        interrupted may have missed it."""
        from pyroute2.netlink.exceptions import NetlinkError

        async with self._doing(f"make {kind} {name}"):
            try:
                await self._netlink.link("add", ifname=name, kind=kind, **attributes)
            except NetlinkError as error:
                if error.code != EXISTS:
                    raise
        link = await self.find(name)
        if link is None:
            raise CommandTroubled(f"{kind} {name} vanished as it was made")
        return link

    async def change(self, link: Link, **attributes: Any) -> None:
        """Set attributes of an interface: `state`, `master`, `mtu`, `address`, `ifalias`."""
        async with self._doing(f"change interface {link.name}"):
            await self._netlink.link("set", index=link.index, **attributes)

    async def remove(self, name: str) -> None:
        """Remove an interface. Content to find none."""
        link = await self.find(name)
        if link is None:
            return
        from pyroute2.netlink.exceptions import NetlinkError

        async with self._doing(f"remove interface {name}"):
            try:
                await self._netlink.link("del", index=link.index)
            except NetlinkError as error:
                if error.code != NO_SUCH_DEVICE:
                    raise

    async def addresses_set(self, link: Link, wanted: set[tuple[str, int]]) -> None:
        """Give the interface exactly these IPv4 addresses, each with its prefix length."""
        async with self._doing(f"set addresses of {link.name}"):
            messages = await self._netlink.addr("dump", index=link.index, family=socket.AF_INET)
            found = {(m.get("address"), m["prefixlen"]) async for m in messages if m["index"] == link.index}
            for address, length in found - wanted:
                await self._netlink.addr("del", index=link.index, address=address, prefixlen=length)
            for address, length in wanted - found:
                await self._netlink.addr("add", index=link.index, address=address, prefixlen=length)

    async def peers_set(self, tunnel: Link, peers: Sequence[str]) -> None:
        """Flood unknown destinations of a VXLAN device to exactly these hosts; forget what was learned of others."""
        everyone = "00:00:00:00:00:00"
        wanted = set(peers)
        async with self._doing(f"set the peers of {tunnel.name}"):
            messages = await self._netlink.fdb("dump", ifindex=tunnel.index)
            entries = [
                (m.get("lladdr"), m.get("dst")) async for m in messages if m["ifindex"] == tunnel.index and m.get("dst")
            ]
            for mac, peer in entries:
                if peer not in wanted:
                    await self._netlink.fdb("del", ifindex=tunnel.index, lladdr=mac, dst=peer)
            for peer in sorted(wanted - {peer for mac, peer in entries if mac == everyone}):
                await self._netlink.fdb("append", ifindex=tunnel.index, lladdr=everyone, dst=peer)

    @asynccontextmanager
    async def _doing(self, what: str) -> AsyncIterator[None]:
        from pyroute2.netlink.exceptions import NetlinkError

        try:
            async with self._lock, asyncio.timeout(NETLINK_SECONDS):
                yield
        except TimeoutError:
            raise CommandTroubled(
                f"could not {what} in {self._where}: the kernel did not answer in {NETLINK_SECONDS:g} s"
            ) from None
        except (NetlinkError, OSError) as error:
            raise CommandTroubled(f"could not {what} in {self._where}: {error}") from error


def _route() -> Any:
    from pyroute2 import AsyncIPRoute  # half a second and 17 MB, which only a real host pays

    return AsyncIPRoute


def _link(message: Any) -> Link:
    flags = message["flags"]
    kind = message.get(("linkinfo", "kind"))
    return Link(
        index=message["index"],
        name=message.get("ifname"),
        kind=kind,
        alias=message.get("ifalias"),
        master=message.get("master"),
        mtu=message.get("mtu"),
        mac=message.get("address") or "",
        up=bool(flags & UP),
        carrier=bool(flags & CARRIER),
        tunnel=_tunnel(message) if kind == "vxlan" else None,
    )


def _tunnel(message: Any) -> Tunnel:
    data = ("linkinfo", "data")
    return Tunnel(
        vni=message.get((*data, "vxlan_id")),
        port=message.get((*data, "vxlan_port")),
        local=message.get((*data, "vxlan_local")) or "",
    )

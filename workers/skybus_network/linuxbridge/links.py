"""The interfaces of one network namespace, over netlink."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

from skybus.errors import CommandTroubled
from skybus_network.linuxbridge.link_list import Link, link_list
from skybus_network.linuxbridge.namespaces import inside

NETLINK_SECONDS = 10.0
"""Deadline of one request to the kernel, which may wait for another's lock."""
NO_SUCH_DEVICE = 19
EXISTS = 17


class Links:
    """Interfaces, their addresses and forwarding entries in one namespace. Every method raises `CommandTroubled`
    that says what was being done."""

    def __init__(self, netlink: Any, lister: socket.socket, where: str) -> None:
        self._netlink = netlink
        self._lister = lister
        self._listing = threading.Lock()
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
            own, lister = await inside(namespace, _sockets)
        except OSError as error:
            raise CommandTroubled(f"could not look into network namespace {where}: {error.strerror}") from error
        return cls(route(fileno=own.detach()), lister, where)

    async def close(self) -> None:
        """Let go of the kernel."""
        self._netlink.close()
        self._lister.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def dump(self) -> dict[str, Link]:
        """Every interface by name."""
        async with self._doing("list interfaces"):
            return {link.name: link for link in await asyncio.to_thread(self._list)}

    def _list(self) -> list[Link]:
        # A caller that gave up leaves its thread behind, which must not read the next one's answer.
        with self._listing:
            return link_list(self._lister)

    async def find(self, name: str) -> Link | None:
        """One interface, or None."""
        return (await self.dump()).get(name)

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


def _sockets() -> tuple[socket.socket, socket.socket]:
    """Two ways to the kernel of the namespace that the thread is in: one for pyroute2, one to list interfaces."""
    own, lister = (socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0) for _ in range(2))
    lister.settimeout(NETLINK_SECONDS)
    return own, lister


def _route() -> Any:
    from pyroute2 import AsyncIPRoute  # half a second and 17 MB, which only a real host pays

    return AsyncIPRoute

"""The metadata service: 169.254.169.254, port 80, inside the DHCP namespace of every network on this host.

Who asks is decided by the namespace the connection came into and by its source address, which the guard does not let
a guest forge. Headers decide nothing.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from skybus.errors import CommandTroubled
from skybus.messages.network import PortBinding
from skybus_network.documents import document
from skybus_network.linuxbridge.dhcp_files import METADATA_IP
from skybus_network.linuxbridge.namespaces import inside, namespace_id
from skybus_network.picture import KnownNetwork

if TYPE_CHECKING:
    from aiohttp import web

log = structlog.get_logger()

PORT = 80
BACKLOG = 64
CONNECTIONS_MOST = 256
"""Of one network; a guest that opens more hurts its own network alone."""
CONNECTION_SECONDS = 60.0
"""After which a connection is closed, idle or not: none may be held open for ever."""
HEADER_MOST = 8190
"""Bytes of one header."""


@dataclass(slots=True)
class Listener:
    """The service of one network."""

    namespace_id: int
    server: asyncio.Server
    http: web.Server


class Metadata:
    """The metadata services of one host."""

    def __init__(self, networks: Mapping[str, KnownNetwork]) -> None:
        """`networks` is the live picture: what changes in it is answered at once."""
        self._networks = networks
        self._listeners: dict[str, Listener] = {}

    async def listen(self, network_id: str, namespace: str) -> None:
        """Answer inside `namespace`. Content to do so already. Raises `CommandTroubled`."""
        current = namespace_id(namespace)
        listener = self._listeners.get(network_id)
        if listener is not None and listener.namespace_id == current:
            return
        await self.remove(network_id)
        try:
            own = await inside(namespace, _listening_socket)
        except OSError as error:
            raise CommandTroubled(f"could not serve metadata in {namespace}: {error.strerror}") from error
        self._listeners[network_id] = await self._serve(network_id, own, current or 0)

    async def _serve(self, network_id: str, own: socket.socket, inode: int) -> Listener:
        from aiohttp import web

        http: web.Server = web.Server(
            partial(self.answer, network_id), access_log=None, keepalive_timeout=10.0, max_field_size=HEADER_MOST
        )
        server = await asyncio.get_running_loop().create_server(partial(_connection, http), sock=own, backlog=BACKLOG)
        return Listener(inode, server, http)

    def listening(self, network_id: str, namespace: str) -> bool:
        """Whether the network's guests are answered."""
        listener = self._listeners.get(network_id)
        return listener is not None and listener.namespace_id == namespace_id(namespace)

    async def remove(self, network_id: str) -> None:
        """Stop answering a network. Content to find that nobody does."""
        listener = self._listeners.pop(network_id, None)
        if listener is not None:
            listener.server.close()
            await listener.http.shutdown(timeout=1.0)

    async def close(self) -> None:
        """Stop answering."""
        for network_id in list(self._listeners):
            await self.remove(network_id)

    async def answer(self, network_id: str, request: web.BaseRequest) -> web.StreamResponse:
        """One request that came in on `network_id`."""
        from aiohttp import web

        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD"}, text="405: read only\n")
        port = self.port_of(network_id, request.transport)
        found = document(port, request.path) if port is not None else None
        if found is None:
            return web.Response(status=404, text="404: not found\n")
        return web.Response(body=found.body, content_type=found.content_type)

    def port_of(self, network_id: str, transport: asyncio.Transport | None) -> PortBinding | None:
        """The port of this host that the connection came from, or None for a stranger, or when two have the address."""
        peer = transport.get_extra_info("peername") if transport is not None else None
        network = self._networks.get(network_id)
        if not peer or network is None:
            return None
        source = ipaddress.ip_address(peer[0])
        ports = [
            port
            for port in network.ports.values()
            if any(ipaddress.ip_address(address) == source for _, address in port.fixed_ips)
        ]
        return ports[0] if len(ports) == 1 else None


def _connection(http: web.Server) -> asyncio.Protocol:
    """The protocol of a new connection, which lives for a bounded time; one too many is closed at once."""
    protocol = http()
    loop = asyncio.get_running_loop()
    if len(http.connections) >= CONNECTIONS_MOST:
        loop.call_soon(protocol.force_close)
    else:
        loop.call_later(CONNECTION_SECONDS, protocol.force_close)
    return protocol


def _listening_socket() -> socket.socket:
    """A socket of the namespace that the thread is in, which it keeps alive."""
    own = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind((METADATA_IP, PORT))
        own.listen(BACKLOG)
    except OSError as error:
        own.close()
        if error.errno == errno.EADDRINUSE:
            log.warning("metadata_address_in_use", address=METADATA_IP)
        raise
    return own

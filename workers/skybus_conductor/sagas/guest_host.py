"""Which host has a server's guest, and where that host is reached."""

from __future__ import annotations

from typing import NamedTuple

from skybus.compute.hosts import host_get
from skybus.compute.servers import server_get
from skybus.errors import NotFound
from skybus.store import Tx


class GuestHost(NamedTuple):
    """A host's name and its address on the underlay: iSCSI sessions begin there."""

    name: str
    address: str


async def guest_host(tx: Tx, server_id: str) -> GuestHost | None:
    """The host of the server's guest; None when no host has one, or the server is gone."""
    try:
        server = await server_get(tx, server_id)
    except NotFound:
        return None
    if server["deleted"] or server["host"] is None:
        return None
    host = await host_get(tx, server["host"])
    return GuestHost(host["name"], host["address"])

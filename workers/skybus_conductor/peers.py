"""Telling the hosts of a network which other hosts share it. Not awaited: a host that missed it gets the full picture
with its next port, and the reconciler compares."""

from __future__ import annotations

from skybus.ids import new_id
from skybus.network.binding import peers_changed
from skybus.network.ports import ports_of_server
from skybus.store import Tx


async def tell_peers(tx: Tx, server_id: str) -> None:
    """The hosts of the server's networks hear who their peers are now."""
    for network_id in {port["network_id"] for port in await ports_of_server(tx, server_id)}:
        for host, command in await peers_changed(tx, network_id):
            tx.send(f"network.{host}", command, command_id=new_id(), operation_id="")

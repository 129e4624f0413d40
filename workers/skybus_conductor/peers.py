"""Telling the hosts of a network which other hosts share it. Not awaited: a host that missed it gets the full picture
with its next port."""

from __future__ import annotations

from collections.abc import Iterable

from skybus.ids import new_id
from skybus.network.wiring import peers_changed
from skybus.store import Tx


async def tell_peers(tx: Tx, network_ids: Iterable[str]) -> None:
    """Every host of these networks hears who its peers are now."""
    for network_id in dict.fromkeys(network_ids):
        for host, command in await peers_changed(tx, network_id):
            tx.send(f"network.{host}", command, command_id=new_id(), operation_id="")

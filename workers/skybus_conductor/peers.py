"""Telling the hosts of a network which other hosts share it. Not awaited: a host that missed it gets the full picture
with its next port.

A network on a few hosts is told at once. One on many would cost a message to each of them with every host that comes,
the square of their number in the end: it is told of what has changed from time to time, the less often the more hosts
it has. Until then a new host reaches all others, for its own picture came with its port, and they learn where it is
from its first packet.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from skybus.ids import new_id
from skybus.network.wiring import networks_untold, peers_changed
from skybus.store import Tx

FEW = 16
"""Hosts of a network that is told of every change at once."""
PAUSE_A_HOST = timedelta(milliseconds=20)
"""Pause between two tellings of a larger one, for each of its hosts: fifty messages a second for each network."""


async def tell_peers(tx: Tx, network_ids: Iterable[str]) -> None:
    """Every host of these networks hears who its peers are now, unless they are many."""
    await _tell(tx, network_ids, most=FEW)


async def tell_untold_peers(tx: Tx) -> None:
    """The hosts of large networks hear what has changed."""
    await _tell(tx, await networks_untold(tx, PAUSE_A_HOST), most=None)


async def _tell(tx: Tx, network_ids: Iterable[str], *, most: int | None) -> None:
    for network_id in dict.fromkeys(network_ids):
        for host, command in await peers_changed(tx, network_id, most=most):
            tx.send(f"network.{host}", command, command_id=new_id(), operation_id="")

"""The orders that make a server's ports real on its host, with all that the host is to tell its guest."""

from __future__ import annotations

from skybus.compute.instance_metadata import instance_metadata
from skybus.network.server_ports import cards_of_server
from skybus.network.wiring import plug_order, plug_telling
from skybus.saga.saga import Order
from skybus.store import Tx
from skybus_conductor.cloud import Cloud


async def plug_orders(tx: Tx, cloud: Cloud, server_id: str, host: str) -> list[Order]:
    """One order for each port; none for a server without ports. Raises NotFound when the server is gone."""
    plugs = [await plug_order(tx, card["id"], host, None) for card in await cards_of_server(tx, server_id)]
    if not plugs:
        return []
    metadata = await instance_metadata(tx, server_id, identity=cloud.identity, host=host, plugs=plugs)
    return [Order(to=f"network.{host}", command=plug_telling(plug, metadata), key=plug.port_id) for plug in plugs]

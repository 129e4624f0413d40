"""The orders that make servers' ports real on their hosts, with all that each host is to tell its guest."""

from __future__ import annotations

from collections.abc import Mapping

from skybus.compute.instance_metadata import instance_metadata
from skybus.network.wiring import plug_orders, plug_telling
from skybus.saga.saga import Order
from skybus.store import Tx
from skybus_conductor.cloud import Cloud


async def wire_orders(tx: Tx, cloud: Cloud, hosts: Mapping[str, str]) -> dict[str, list[Order]]:
    """One order for each port of each server, by server id; none for a server that is gone or has no ports. `hosts` are
    the servers' hosts."""
    plugs = await plug_orders(tx, hosts)
    told = await instance_metadata(tx, hosts, plugs, identity=cloud.identity)
    orders: dict[str, list[Order]] = {}
    for server_id, host in hosts.items():
        orders[server_id] = [
            Order(to=f"network.{host}", command=plug_telling(plug, told[server_id]), key=plug.port_id)
            for plug in (plugs[server_id] if server_id in told else [])
        ]
    return orders

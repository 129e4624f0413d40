"""Bring the hosts of a network up to date after a change of it or of its subnets: name servers, routes, DHCP.

A host takes a network's picture from any order for one of its ports, so one order a host is enough.
"""

from __future__ import annotations

from collections.abc import Sequence

from skybus.network.wiring import ports_wired_on
from skybus.saga.operations import Operation
from skybus.saga.saga import Order, Saga, Step
from skybus.store import Tx
from skybus_conductor.cloud import Cloud
from skybus_conductor.reconcilers import busy
from skybus_conductor.sagas.plugging import wire_orders


def saga(cloud: Cloud) -> Saga:
    """One step."""

    async def tell(tx: Tx, op: Operation) -> Sequence[Order]:
        """Plug a port of each host again. A server that an operation works on is left alone."""
        rows = await ports_wired_on(tx, op.resource_id)
        working = await busy(tx, "server", {row["server_id"] for row in rows})
        first = {row["host"]: row for row in reversed(rows) if row["server_id"] not in working}
        orders = await wire_orders(tx, cloud, {row["server_id"]: host for host, row in sorted(first.items())})
        ports = {row["id"] for row in first.values()}
        return [order for of_server in orders.values() for order in of_server if order.key in ports]

    return Saga(kind="network_refresh", steps=(Step(name="tell", do=tell),))

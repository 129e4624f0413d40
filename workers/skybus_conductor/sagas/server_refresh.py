"""Bring a server's host up to date with what its metadata service is to say. Runs beside anything: it changes no row,
and an agent drops an order that a later one about the same port has overtaken."""

from __future__ import annotations

from collections.abc import Sequence

from skybus.compute.servers import DELETING, server_get
from skybus.saga.operations import Operation
from skybus.saga.saga import Order, Saga, Step
from skybus.store import Tx
from skybus_conductor.cloud import Cloud
from skybus_conductor.sagas.plugging import wire_orders


def saga(cloud: Cloud) -> Saga:
    """One step."""

    async def tell(tx: Tx, op: Operation) -> Sequence[Order]:
        """Plug the ports again, with their new contents; nothing for a server that is on no host, or about to go."""
        server = await server_get(tx, op.resource_id)
        if server["host"] is None or server["deleted"] or server["task_state"] == DELETING:
            return []
        return (await wire_orders(tx, cloud, {server["id"]: server["host"]}))[server["id"]]

    return Saga(kind="server_refresh", steps=(Step(name="tell", do=tell),))

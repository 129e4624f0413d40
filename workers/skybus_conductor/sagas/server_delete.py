"""Delete a server: the guest first, then what it was wired to, then its claim and its row.

There is no way back: a step that does not succeed leaves the server in ERROR, and deleting again goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skybus.bus.message import Answer
from skybus.compute.server_life import server_fail, server_gone
from skybus.compute.servers import server_get
from skybus.messages.compute import DestroyGuest
from skybus.network.server_ports import ports_of_server, ports_release
from skybus.network.wiring import unplug_order
from skybus.placement.claims import claim_release
from skybus.saga.operations import Operation
from skybus.saga.saga import Order, Saga, Step
from skybus.store import Tx
from skybus.volume.attachments import attachment_end, attachments_of_server, unexport_order
from skybus_conductor.cloud import Cloud
from skybus_conductor.peers import tell_peers

ATTEMPTS = 20


async def destroy(tx: Tx, op: Operation) -> Sequence[Order]:
    """Remove the guest and its files. Nothing to do where the server never had a host."""
    server = await server_get(tx, op.resource_id)
    op.memo["host"] = server["host"]
    if server["host"] is None:
        return []
    return [Order(to=f"compute.{server['host']}", command=DestroyGuest(server_id=op.resource_id))]


async def unwire(tx: Tx, op: Operation) -> Sequence[Order]:
    """Take the ports off the host and end the exports of its volumes, all at the same time."""
    host = op.memo["host"]
    orders = []
    if host is not None:
        for port in await ports_of_server(tx, op.resource_id):
            orders.append(
                Order(to=f"network.{host}", command=unplug_order(port["id"], port["network_id"]), key=port["id"])
            )
    for attachment in await attachments_of_server(tx, op.resource_id):
        to, command = await unexport_order(tx, attachment["id"])
        orders.append(Order(to=to, command=command, key=attachment["id"]))
    return orders


async def unwired(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """Free the ports and the volumes."""
    for attachment in await attachments_of_server(tx, op.resource_id):
        await attachment_end(tx, attachment["id"])
    await tell_peers(tx, await ports_release(tx, op.resource_id))


async def forgotten(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """Give the room back; the server is gone."""
    await claim_release(tx, op.resource_id)
    await server_gone(tx, op.resource_id)


async def unwound(tx: Tx, op: Operation) -> None:
    """Something of the server may still be there: ERROR, so that deleting again is possible."""
    error = op.error or {}
    await server_fail(
        tx,
        op.resource_id,
        error.get("code", "internal"),
        error.get("reason", ""),
        error.get("details"),
        deleting=True,
    )


def saga(cloud: Cloud) -> Saga:
    """The steps."""
    return Saga(
        kind="server_delete",
        steps=(
            Step(name="destroy", do=destroy, attempts=ATTEMPTS),
            Step(name="unwire", do=unwire, apply=unwired, attempts=ATTEMPTS),
            Step(name="forget", apply=forgotten),
        ),
        unwound=unwound,
    )

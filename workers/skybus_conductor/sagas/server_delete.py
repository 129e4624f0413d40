"""Delete a server: the guest first, then what it was wired to, then its claim and its row.

There is no way back: a step that does not succeed leaves the server in ERROR, and deleting again goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence

from skybus.bus.context import on_behalf_of
from skybus.compute.server_life import server_fail, servers_gone
from skybus.compute.servers import servers_get
from skybus.messages.compute import DestroyGuest
from skybus.network.server_ports import ports_of_servers, ports_release
from skybus.network.wiring import unplug_order
from skybus.placement.claims import claims_release
from skybus.saga.operations import Operation
from skybus.saga.saga import Answered, Order, Saga, Step
from skybus.store import Tx
from skybus.volume.attachments import attachment_end, attachments_of_servers, unexport_order
from skybus_conductor.cloud import Cloud
from skybus_conductor.peers import tell_peers

ATTEMPTS = 20


async def destroy(tx: Tx, ops: Sequence[Operation]) -> Sequence[Sequence[Order]]:
    """Remove the guests and their files. Nothing to do where a server never had a host."""
    servers = await servers_get(tx, [op.resource_id for op in ops])
    for op in ops:
        op.memo["host"] = servers[op.resource_id]["host"]
    command = {op.id: DestroyGuest(server_id=op.resource_id) for op in ops if op.memo["host"] is not None}
    return [[Order(to=f"compute.{op.memo['host']}", command=command[op.id])] if op.id in command else [] for op in ops]


async def unwire(tx: Tx, ops: Sequence[Operation]) -> Sequence[Sequence[Order]]:
    """Take the ports off the hosts and end the exports of the volumes, all at the same time."""
    servers = {op.resource_id: op.memo["host"] for op in ops}
    orders: dict[str, list[Order]] = {server_id: [] for server_id in servers}
    for port in await ports_of_servers(tx, [server_id for server_id, host in servers.items() if host is not None]):
        to = f"network.{servers[port['server_id']]}"
        command = unplug_order(port["id"], port["network_id"])
        orders[port["server_id"]].append(Order(to=to, command=command, key=port["id"]))
    for server_id, attachments in (await attachments_of_servers(tx, list(servers))).items():
        for attachment in attachments:
            to, unexport = await unexport_order(tx, attachment["id"])
            orders[server_id].append(Order(to=to, command=unexport, key=attachment["id"]))
    return [orders[op.resource_id] for op in ops]


async def unwired(tx: Tx, answered: Answered) -> None:
    """Free the ports and the volumes."""
    servers = [op.resource_id for op, _ in answered]
    for server_id, attachments in sorted((await attachments_of_servers(tx, servers)).items()):
        with on_behalf_of(server_id):
            for attachment in attachments:
                await attachment_end(tx, attachment["id"])
    await tell_peers(tx, await ports_release(tx, servers))


async def forgotten(tx: Tx, answered: Answered) -> None:
    """Give the room back; the servers are gone."""
    servers = [op.resource_id for op, _ in answered]
    await claims_release(tx, servers)
    await servers_gone(tx, servers)


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
            Step(name="destroy", do_all=destroy, attempts=ATTEMPTS),
            Step(name="unwire", do_all=unwire, apply_all=unwired, attempts=ATTEMPTS),
            Step(name="forget", apply_all=forgotten),
        ),
        unwound=unwound,
    )

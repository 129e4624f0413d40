"""Create a server: a host with room, its ports wired there, the guest booted.

The gateway has made the server's row and its ports in the transaction that accepted the request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skybus.bus.message import Answer
from skybus.compute.server_life import server_booted, server_fail, server_placed, server_wired
from skybus.compute.servers import server_get
from skybus.compute.spawn import place_order, spawn_order
from skybus.messages.compute import DestroyGuest, GuestSpawned
from skybus.messages.placement import Placed
from skybus.network.binding import port_bind, port_unbind
from skybus.network.ports import port_move
from skybus.network.server_ports import ports_of_server, ports_release
from skybus.network.states import Cause
from skybus.network.wiring import unplug_order
from skybus.placement.claims import claim_release
from skybus.saga.operations import Operation
from skybus.saga.saga import Order, Saga, Step
from skybus.saga.turns import INTERRUPTED
from skybus.store import Tx
from skybus_conductor.cloud import Cloud
from skybus_conductor.peers import tell_peers
from skybus_conductor.sagas.plugging import plug_orders


async def place(tx: Tx, op: Operation) -> Sequence[Order]:
    """Ask for a host, and for the claim on it."""
    return [Order(to="scheduler", command=place_order(await server_get(tx, op.resource_id)))]


async def placed(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """Note the host, and bind the ports to it; the other hosts of their networks hear of it when it is a new one."""
    answer = answers[""]
    assert isinstance(answer, Placed)
    op.memo["host"] = answer.host
    await server_placed(tx, op.resource_id, answer.host)
    ports = await ports_of_server(tx, op.resource_id)
    for port in ports:
        await port_bind(tx, port["id"], answer.host)
    await tell_peers(tx, [port["network_id"] for port in ports])


async def unplaced(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """Give the room back. Fine when there is none."""
    ports = await ports_of_server(tx, op.resource_id)
    for port in ports:
        await port_unbind(tx, port["id"])
    await tell_peers(tx, [port["network_id"] for port in ports])
    await claim_release(tx, op.resource_id)


async def wired(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """The ports work."""
    for port_id in answers:
        await port_move(tx, port_id, Cause.PLUGGED)
    await server_wired(tx, op.resource_id)


async def unwire(tx: Tx, op: Operation) -> Sequence[Order]:
    """Take the ports off the host."""
    host = op.memo.get("host")
    if host is None:
        return []
    return [
        Order(to=f"network.{host}", command=unplug_order(port["id"], port["network_id"]), key=port["id"])
        for port in await ports_of_server(tx, op.resource_id)
    ]


async def spawned(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """The guest runs: the server is ACTIVE."""
    answer = answers[""]
    assert isinstance(answer, GuestSpawned)
    await server_booted(tx, op.resource_id, answer.power_state, answer.vnc_port)


async def unspawn(tx: Tx, op: Operation) -> Sequence[Order]:
    """Remove the guest, however far it came."""
    return [Order(to=f"compute.{op.memo['host']}", command=DestroyGuest(server_id=op.resource_id))]


async def unwound(tx: Tx, op: Operation) -> None:
    """Nothing is left on any host: free the ports, and say why in the server's fault."""
    await tell_peers(tx, await ports_release(tx, op.resource_id))
    error = op.error or {}
    if error.get("code") != INTERRUPTED:
        await server_fail(
            tx, op.resource_id, error.get("code", "internal"), error.get("reason", ""), error.get("details")
        )


def saga(cloud: Cloud) -> Saga:
    """The steps, each with its way back."""

    async def wire(tx: Tx, op: Operation) -> Sequence[Order]:
        """Plug every port, all at the same time; with it the host learns what its metadata service is to say."""
        return await plug_orders(tx, cloud, op.resource_id, op.memo["host"])

    async def spawn(tx: Tx, op: Operation) -> Sequence[Order]:
        """Boot the guest, with a token that reads its image and nothing else."""
        order = await spawn_order(
            tx, op.resource_id, cloud.issue_image_token, cloud.gateway_url, identity=cloud.identity
        )
        return [Order(to=f"compute.{op.memo['host']}", command=order)]

    return Saga(
        kind="server_create",
        steps=(
            Step(name="place", do=place, apply=placed, undone=unplaced),
            Step(name="wire", do=wire, apply=wired, undo=unwire),
            Step(name="spawn", do=spawn, apply=spawned, undo=unspawn, seconds=300),
        ),
        unwound=unwound,
    )

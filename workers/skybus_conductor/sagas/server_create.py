"""Create a server: a host with room, its ports wired there, the guest booted.

The gateway has made the server's row and its ports in the transaction that accepted the request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skybus.bus.message import Answer
from skybus.compute.server_life import server_fail, server_unplaced, servers_booted, servers_placed, servers_wired
from skybus.compute.servers import server_get, servers_get
from skybus.compute.spawn import place_order, spawn_orders
from skybus.messages.compute import DestroyGuest, GuestSpawned
from skybus.messages.placement import Placed
from skybus.network.binding import ports_bind
from skybus.network.ports import ports_move
from skybus.network.server_ports import ports_of_server, ports_of_servers, ports_release
from skybus.network.states import Cause
from skybus.network.wiring import unplug_order
from skybus.placement.claims import claim_release
from skybus.saga.operations import Operation
from skybus.saga.saga import Answered, Order, Saga, Step
from skybus.saga.turns import INTERRUPTED
from skybus.store import Tx
from skybus_conductor.cloud import Cloud
from skybus_conductor.peers import tell_peers
from skybus_conductor.sagas.plugging import wire_orders


async def place(tx: Tx, op: Operation) -> Sequence[Order]:
    """Ask for a host, and for the claim on it."""
    return [Order(to="scheduler", command=place_order(await server_get(tx, op.resource_id)))]


async def placed(tx: Tx, answered: Answered) -> None:
    """Note the hosts, and bind the ports to them; the other hosts of their networks hear of those that are new."""
    hosts = {}
    for op, answers in answered:
        answer = answers[""]
        assert isinstance(answer, Placed)
        hosts[op.resource_id] = op.memo["host"] = answer.host
    await servers_placed(tx, hosts)
    ports = await ports_of_servers(tx, hosts, lock=True)
    await tell_peers(tx, await ports_bind(tx, {port["id"]: hosts[port["server_id"]] for port in ports}, ports))


async def unplaced(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """Give the room back. Fine when there is none. The ports are freed with it, at the end of the way back."""
    await claim_release(tx, op.resource_id)
    await server_unplaced(tx, op.resource_id)


async def wired(tx: Tx, answered: Answered) -> None:
    """The ports work."""
    await ports_move(tx, [port_id for _, answers in answered for port_id in answers], Cause.PLUGGED)
    await servers_wired(tx, [op.resource_id for op, _ in answered])


async def unwire(tx: Tx, op: Operation) -> Sequence[Order]:
    """Take the ports off the host."""
    host = op.memo.get("host")
    if host is None:
        return []
    return [
        Order(to=f"network.{host}", command=unplug_order(port["id"], port["network_id"]), key=port["id"])
        for port in await ports_of_server(tx, op.resource_id)
    ]


async def spawned(tx: Tx, answered: Answered) -> None:
    """The guests run: the servers are ACTIVE."""
    guests = {}
    for op, answers in answered:
        answer = answers[""]
        assert isinstance(answer, GuestSpawned)
        guests[op.resource_id] = answer.power_state, answer.vnc_port
    await servers_booted(tx, guests)


async def unspawn(tx: Tx, op: Operation) -> Sequence[Order]:
    """Remove the guest, however far it came."""
    return [Order(to=f"compute.{op.memo['host']}", command=DestroyGuest(server_id=op.resource_id))]


async def unwound(tx: Tx, op: Operation) -> None:
    """Nothing is left on any host: free the ports, and say why in the server's fault."""
    await tell_peers(tx, await ports_release(tx, [op.resource_id]))
    error = op.error or {}
    if error.get("code") != INTERRUPTED:
        await server_fail(
            tx, op.resource_id, error.get("code", "internal"), error.get("reason", ""), error.get("details")
        )


def saga(cloud: Cloud) -> Saga:
    """The steps, each with its way back."""

    async def wire(tx: Tx, ops: Sequence[Operation]) -> Sequence[Sequence[Order]]:
        """Plug every port, all at the same time; with it the host learns what its metadata service is to say."""
        orders = await wire_orders(tx, cloud, {op.resource_id: op.memo["host"] for op in ops})
        return [orders[op.resource_id] for op in ops]

    async def spawn(tx: Tx, ops: Sequence[Operation]) -> Sequence[Sequence[Order]]:
        """Boot the guests, each with a token that reads its image and nothing else."""
        servers = await servers_get(tx, [op.resource_id for op in ops])
        orders = await spawn_orders(tx, servers, cloud.issue_image_token, cloud.gateway_url, identity=cloud.identity)
        return [[Order(to=f"compute.{op.memo['host']}", command=orders[op.resource_id])] for op in ops]

    return Saga(
        kind="server_create",
        steps=(
            Step(name="place", do=place, apply_all=placed, undone=unplaced),
            Step(name="wire", do_all=wire, apply_all=wired, undo=unwire),
            Step(name="spawn", do_all=spawn, apply_all=spawned, undo=unspawn, seconds=300),
        ),
        unwound=unwound,
    )

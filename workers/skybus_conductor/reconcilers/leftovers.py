"""Ports and attachments whose server is gone or elsewhere. Each repair looks again at what is so now, under locks, and
raises Conflict rather than guess."""

from __future__ import annotations

from typing import Any

import structlog

from skybus.compute.servers import server_get
from skybus.errors import Conflict, NotFound
from skybus.ids import new_id
from skybus.network.binding import port_bind, port_unbind
from skybus.network.ports import port_get
from skybus.network.presence import presence_correct
from skybus.network.server_ports import ports_of_server, ports_release
from skybus.network.wiring import unplug_order
from skybus.saga.operations import operation_start
from skybus.store import Tx
from skybus.volume.attachments import attachment_end, attachment_get, attachment_remove, unexport_order
from skybus.volume.states import Cause
from skybus.volume.volumes import volume_get, volume_move, volume_seen
from skybus_conductor.host_reports import export_seen_on, guest_seen_on
from skybus_conductor.peers import tell_peers
from skybus_conductor.reconcilers import busy, on_behalf

log = structlog.get_logger()


async def ports_of_gone(tx: Tx, server_id: str) -> None:
    """Take the ports of a server that is gone off their hosts and let them go, as its deletion would have."""
    if await _server(tx, server_id) is not None:
        raise Conflict(f"Server {server_id} is not gone.")
    ports = await ports_of_server(tx, server_id)
    for port in ports:
        _unplug(tx, port, port["host"])
    log.warning("ports_of_nobody", server=server_id, ports=[port["id"] for port in ports])
    await ports_release(tx, [server_id])
    await tell_peers(tx, [port["network_id"] for port in ports])


async def port_follows(tx: Tx, port_id: str) -> None:
    """Bind a port to the host that its server is on. Raises Conflict unless that host has the guest and no other has;
    its network agent wires it with its next report."""
    port = await port_get(tx, port_id)
    server = await _server(tx, port["server_id"])
    if server is None:
        raise Conflict(f"The server of port {port_id} is gone.")
    old, new = port["host"], server["host"]
    if new is None:
        await port_unbind(tx, port_id)
    elif await guest_seen_on(tx, server["id"]) == {new}:
        await port_bind(tx, port_id, new)
    else:
        raise Conflict(f"Host {new} does not report to be the only one with a guest of server {server['id']}.")
    log.warning("port_followed_its_server", port=port_id, old=old, new=new)
    _unplug(tx, port, old)
    await tell_peers(tx, [port["network_id"]])


async def presence(tx: Tx, network_id: str, host: str) -> None:
    """Note a network as present where it has bound ports, and nowhere else; its hosts hear of it."""
    if await presence_correct(tx, network_id, host):
        log.warning("presence_corrected", network=network_id, host=host)
        await tell_peers(tx, [network_id])


async def attachment_settled(tx: Tx, volume_id: str) -> None:
    """Make a volume's status and its attachment agree, at rest. A server that is gone lets go of it; what was on the
    way to or from a server is detached by an operation; where only one of the two says that a server has it, the one
    holds that keeps the volume from being given away twice. Raises Conflict where nothing of this is certain."""
    await volume_get(tx, volume_id, lock=True)
    volume = await volume_seen(tx, volume_id, project_id=None)
    if await busy(tx, "volume", [volume_id]):
        raise Conflict(f"An operation works on volume {volume_id}.")
    if volume["attachment_id"] is None:
        await _nobody_has(tx, volume)
    elif await _server(tx, volume["server_id"]) is None:
        await _server_gone(tx, volume)
    elif volume["status"] in ("attaching", "detaching"):
        memo = {"attachment_id": volume["attachment_id"], "server_id": volume["server_id"]}
        with on_behalf(volume):
            await operation_start(tx, "volume_detach", resource_type="volume", resource_id=volume_id, memo=memo)
    elif (volume["status"], volume["attachment_state"]) == ("available", "attached"):
        await volume_move(tx, volume_id, Cause.ATTACH_ASKED)
        await volume_move(tx, volume_id, Cause.ATTACHED)
    else:
        said = f"is {volume['status']}, and its attachment is {volume['attachment_state']}"
        raise Conflict(f"Volume {volume_id} {said}: which is true cannot be known from here.")
    log.warning("attachment_settled", volume=volume_id, status=volume["status"], attachment=volume["attachment_id"])


async def _nobody_has(tx: Tx, volume: Any) -> None:
    hosts = await export_seen_on(tx, volume["id"])
    if hosts:
        raise Conflict(f"{', '.join(sorted(hosts))} still exports it; its next report has that ended, and then this.")
    await volume_move(tx, volume["id"], Cause.DETACHED)


async def _server_gone(tx: Tx, volume: Any) -> None:
    """As the server's deletion would have. A volume that was to go with it goes, but only with one that we knew."""
    attachment = await attachment_get(tx, volume["attachment_id"])
    to, order = await unexport_order(tx, attachment["id"])
    tx.send(to, order, command_id=new_id(), operation_id="")
    try:
        await server_get(tx, attachment["server_id"])
    except NotFound:
        await attachment_remove(tx, attachment["id"])
        return
    with on_behalf(volume):
        await attachment_end(tx, attachment["id"])


async def _server(tx: Tx, server_id: str) -> Any | None:
    """The server's row, None when it is gone. Raises Conflict while an operation works on it."""
    if await busy(tx, "server", [server_id]):
        raise Conflict(f"An operation works on server {server_id}.")
    try:
        server = await server_get(tx, server_id)
    except NotFound:
        return None
    return None if server["deleted"] else server


def _unplug(tx: Tx, port: Any, host: str) -> None:
    if host:
        order = unplug_order(port["id"], port["network_id"])
        tx.send(f"network.{host}", order, command_id=new_id(), operation_id="")

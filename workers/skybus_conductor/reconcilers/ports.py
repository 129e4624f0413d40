"""Ports: what is bound to a host is wired there, and nothing is wired for a port that is gone."""

from __future__ import annotations

import structlog

from skybus.compute.orders import instance_metadata
from skybus.errors import NotFound
from skybus.ids import is_uuid, new_id
from skybus.messages.network import NetworkReport, UnplugPort
from skybus.network.binding import plug_order, tap_of
from skybus.network.ports import ports_on_host
from skybus.store import Tx
from skybus_conductor.reconcilers import busy

log = structlog.get_logger()


async def reconcile(tx: Tx, report: NetworkReport) -> None:
    """Compare the ports that are bound to the host with those that are wired there."""
    seen = {port.port_id: port for port in report.ports}
    expected = {row["id"]: row for row in await ports_on_host(tx, report.host)}
    missing = [
        port_id
        for port_id in expected.keys() - seen.keys()
        if expected[port_id]["status"] == "ACTIVE" and expected[port_id]["updated_at"] < report.taken_at
    ]
    servers = {expected[port_id]["device_id"] for port_id in missing}
    working = await busy(tx, "server", [server_id for server_id in servers if server_id])
    for port_id in missing:
        server_id = expected[port_id]["device_id"]
        if server_id in working or not is_uuid(server_id or ""):
            continue
        log.warning("port_wired_again", port=port_id, host=report.host)
        try:
            metadata = await instance_metadata(tx, server_id)
        except NotFound:
            continue
        order = await plug_order(tx, port_id, report.host, metadata)
        tx.send(f"network.{report.host}", order, command_id=new_id(), operation_id="")
    for port_id in seen.keys() - expected.keys():
        await _stranger(tx, report, port_id, seen[port_id].network_id)


async def _stranger(tx: Tx, report: NetworkReport, port_id: str, network_id: str) -> None:
    """A port that is wired and not bound here. The host wires nothing but what we ordered; so it is one of ours whose
    end it missed, unless an operation is about to bind or unplug it."""
    running = await tx.fetchval("SELECT 1 FROM saga.operation WHERE state IN ('running', 'undoing') LIMIT 1")
    if running is not None:
        return
    log.warning("port_of_nobody", port=port_id, host=report.host)
    order = UnplugPort(port_id=port_id, network_id=network_id, tap=tap_of(port_id))
    tx.send(f"network.{report.host}", order, command_id=new_id(), operation_id="")

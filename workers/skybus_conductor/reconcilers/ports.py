"""Ports: what is bound to a host is wired there, and nothing is wired for a port that is gone."""

from __future__ import annotations

from typing import Any

import structlog

from skybus.compute.instance_metadata import instance_metadata
from skybus.errors import NotFound
from skybus.ids import new_id
from skybus.messages.network import NetworkReport
from skybus.network.wiring import plug_order, ports_expected_on, unplug_order
from skybus.store import Tx
from skybus_conductor.cloud import Cloud
from skybus_conductor.reconcilers import busy

log = structlog.get_logger()

ANY_RUNNING = "SELECT 1 FROM saga.operation WHERE state IN ('running', 'undoing') AND resource_type = 'server' LIMIT 1"


async def reconcile(cloud: Cloud, tx: Tx, report: NetworkReport) -> None:
    """Compare the ports that are bound to the host with those that are wired there."""
    seen = {port.port_id: port for port in report.ports}
    expected = {row["id"]: row for row in await ports_expected_on(tx, report.host)}
    missing = [row for port_id, row in expected.items() if port_id not in seen]
    strangers = [port for port_id, port in seen.items() if port_id not in expected]
    if missing:
        working = await busy(tx, "server", [row["server_id"] for row in missing])
        for row in missing:
            if row["server_id"] not in working:
                await _wire_again(cloud, tx, report.host, row)
    # What is wired and not bound here is ours, for a host wires what we order alone, and has missed its end, unless
    # an operation is about to bind or unplug it.
    if strangers and await tx.fetchval(ANY_RUNNING) is None:
        for port in strangers:
            log.warning("port_of_nobody", port=port.port_id, host=report.host)
            order = unplug_order(port.port_id, port.network_id)
            tx.send(f"network.{report.host}", order, command_id=new_id(), operation_id="")


async def _wire_again(cloud: Cloud, tx: Tx, host: str, row: Any) -> None:
    try:
        metadata = await instance_metadata(tx, row["server_id"], identity=cloud.identity, host=host)
        order = await plug_order(tx, row["id"], host, metadata)
    except NotFound:
        return
    log.warning("port_wired_again", port=row["id"], host=host)
    tx.send(f"network.{host}", order, command_id=new_id(), operation_id="")

"""Ports: what is bound to a host is wired there, and nothing is wired for a port that is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from skybus.ids import new_id
from skybus.messages.network import NetworkReport
from skybus.network.wiring import ports_expected_on, unplug_order
from skybus.store import Tx
from skybus_conductor.cloud import Cloud
from skybus_conductor.reconcilers import busy
from skybus_conductor.sagas.plugging import wire_orders

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
        await _wire_again(cloud, tx, report.host, [row for row in missing if row["server_id"] not in working])
    # What is wired and not bound here is ours, for a host wires what we order alone, and has missed its end, unless
    # an operation is about to bind or unplug it.
    if strangers and await tx.fetchval(ANY_RUNNING) is None:
        for port in strangers:
            log.warning("port_of_nobody", port=port.port_id, host=report.host)
            order = unplug_order(port.port_id, port.network_id)
            tx.send(f"network.{report.host}", order, command_id=new_id(), operation_id="")


async def _wire_again(cloud: Cloud, tx: Tx, host: str, rows: Sequence[Any]) -> None:
    """Order the ports again; a server that is gone meanwhile has none."""
    missing = {row["id"] for row in rows}
    orders = await wire_orders(tx, cloud, {row["server_id"]: host for row in rows})
    for order in (order for of_server in orders.values() for order in of_server if order.key in missing):
        log.warning("port_wired_again", port=order.key, host=host)
        tx.send(order.to, order.command, command_id=new_id(), operation_id="")

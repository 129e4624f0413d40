"""Guests: those that should run do run, and nothing runs for a server that is gone."""

from __future__ import annotations

import structlog

from skybus.compute.server_life import server_power_seen, servers_expected
from skybus.compute.servers import server_get
from skybus.errors import NotFound
from skybus.ids import new_id
from skybus.messages.compute import DestroyGuest, HypervisorReport, PowerState, StartGuest
from skybus.store import Tx
from skybus_conductor.reconcilers import busy

log = structlog.get_logger()

RUNNING = ("running", "paused")


async def follow(tx: Tx, server_id: str, host: str, power_state: PowerState) -> None:
    """A guest was seen in a power state: an idle server on that host takes it over."""
    try:
        moved = await server_power_seen(tx, server_id, host, power_state)
    except NotFound:
        log.warning("guest_unknown", server=server_id, host=host)
        return
    if moved:
        log.warning("guest_moved_by_itself", server=server_id, host=host, power_state=power_state)


async def reconcile(tx: Tx, report: HypervisorReport) -> None:
    """Compare the servers that should be on the host with the guests that are."""
    seen = {guest.server_id: guest.power_state for guest in report.guests}
    expected = {row["id"]: row for row in await servers_expected(tx, report.host)}
    suspects = [
        server_id
        for server_id, row in expected.items()
        if _differs(row["state"], row["task_state"], seen.get(server_id, "absent"))
    ]
    strangers = seen.keys() - expected.keys()
    if not suspects and not strangers:
        return
    working = await busy(tx, "server", [*suspects, *strangers])
    for server_id in suspects:
        if server_id not in working and expected[server_id]["updated_at"] < report.taken_at:
            await _repair(tx, report, server_id, seen.get(server_id, "absent"))
    for server_id in sorted(strangers - working):
        await _stranger(tx, report.host, server_id)


def _differs(state: str, task: str | None, power: str) -> bool:
    if task is not None:
        return False
    return (state == "ACTIVE" and power not in RUNNING) or (state == "SHUTOFF" and power in RUNNING)


async def _repair(tx: Tx, report: HypervisorReport, server_id: str, power: PowerState) -> None:
    """A host that has just come up gets its guests started; otherwise the server follows its guest."""
    if report.started and power not in RUNNING:
        log.warning("guest_started_again", server=server_id, host=report.host)
        tx.send(f"compute.{report.host}", StartGuest(server_id=server_id), command_id=new_id(), operation_id="")
    elif power == "absent":
        log.error("guest_lost", server=server_id, host=report.host)
    else:
        await follow(tx, server_id, report.host, power)


async def _stranger(tx: Tx, host: str, server_id: str) -> None:
    """A guest that should not be here. Only one whose server is known to be gone is removed."""
    try:
        server = await server_get(tx, server_id)
    except NotFound:
        log.error("guest_unknown", server=server_id, host=host)
        return
    if server["deleted"] or (server["state"] == "ERROR" and server["host"] is None):
        log.warning("guest_of_deleted_server", server=server_id, host=host)
        tx.send(f"compute.{host}", DestroyGuest(server_id=server_id), command_id=new_id(), operation_id="")
    else:
        log.error("guest_on_wrong_host", server=server_id, host=host, expected=server["host"])

"""What is on its way from one state to another, and no operation brings it there: it is taken up again.

Each saga finds what its forerunner made, so beginning it anew ends what was accepted. What an operation left that is
parked as failed waits until somebody has decided about that one.
"""

from __future__ import annotations

import structlog

from skybus.compute.server_life import server_gave_up
from skybus.compute.servers import DELETING, server_lock
from skybus.compute.states import State
from skybus.errors import Conflict
from skybus.saga.ended import operation_parked_on
from skybus.saga.operations import operation_start
from skybus.store import Tx
from skybus.volume.volumes import volume_get
from skybus_conductor.reconcilers import busy, on_behalf
from skybus_conductor.reconcilers.leftovers import attachment_settled

log = structlog.get_logger()


async def server_taken_up(tx: Tx, server_id: str) -> None:
    """A deletion and a creation begin anew; any other task is given up, as its undo would, and the server follows its
    guest. Raises Conflict when something works on it or is parked."""
    server = await server_lock(tx, server_id)
    await _at_rest(tx, "server", server_id)
    task = server["task_state"]
    log.warning("server_taken_up", server=server_id, state=server["state"], task=task)
    with on_behalf(server):
        if task == DELETING:
            await operation_start(tx, "server_delete", resource_type="server", resource_id=server_id)
        elif server["state"] == State.BUILD:
            await operation_start(tx, "server_create", resource_type="server", resource_id=server_id)
        else:
            await server_gave_up(tx, server_id)


async def volume_taken_up(tx: Tx, volume_id: str) -> None:
    """A deletion and a creation begin anew; what was on its way to or from a server is settled. Raises Conflict when
    something works on it or is parked."""
    volume = await volume_get(tx, volume_id, lock=True)
    await _at_rest(tx, "volume", volume_id)
    log.warning("volume_taken_up", volume=volume_id, status=volume["status"])
    if volume["status"] not in ("creating", "deleting"):
        await attachment_settled(tx, volume_id)
        return
    kind = "volume_create" if volume["status"] == "creating" else "volume_delete"
    with on_behalf(volume):
        await operation_start(tx, kind, resource_type="volume", resource_id=volume_id)


async def _at_rest(tx: Tx, resource_type: str, resource_id: str) -> None:
    if await busy(tx, resource_type, [resource_id]):
        raise Conflict(f"An operation works on {resource_type} {resource_id}.")
    parked = await operation_parked_on(tx, resource_type, resource_id)
    if parked is not None:
        raise Conflict(f"The operation {parked} on it is parked as failed: retry or acknowledge that one first.")

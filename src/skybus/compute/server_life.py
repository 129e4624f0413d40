"""What the conductor tells of a server: each function is one move, in the conductor's transaction, safe to repeat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from skybus import clock
from skybus.bus.context import on_behalf_of
from skybus.compute.servers import DELETING, server_lock, server_move, servers_lock, servers_move
from skybus.compute.states import POWER_NUMBERS, Cause, State
from skybus.messages.compute import PowerState, ServerCreated, ServerDeleted, ServerFailed, ServerPlaced
from skybus.store import Store, Tx

NO_HOST = "placement.no-valid-host"
FAULT_CODE = 500
"""What Nova gives every fault of a build; its details are an administrator's."""

EXPECTED = """
SELECT id, project_id, host, state, task_state, power_state, updated_at FROM compute.server
 WHERE NOT deleted AND host = $1 ORDER BY id
"""

HOSTLESS = """
SELECT asked.id FROM unnest($1::uuid[]) AS asked (id) LEFT JOIN compute.server s ON s.id = asked.id
 WHERE s.id IS NULL OR s.deleted OR s.host IS NULL
"""


async def servers_placed(tx: Tx, hosts: Mapping[str, str]) -> None:
    """The scheduler chose a host for each server, given by id. Content to find a server there."""
    rows = await servers_lock(tx, hosts)
    new = [row for row in rows.values() if row["host"] != hosts[row["id"]]]
    await servers_move(tx, Cause.PLACED, [(row, {"host": hosts[row["id"]]}) for row in new])
    for row in new:
        with on_behalf_of(row["id"]):
            event = ServerPlaced(server_id=row["id"], host=hosts[row["id"]])
            tx.publish(event, project_id=row["project_id"])


async def server_unplaced(tx: Tx, server_id: str) -> None:
    """A placement was undone: the server is on no host. Content to find it on none."""
    server = await server_lock(tx, server_id)
    if not server["deleted"] and server["host"] is not None:
        await server_move(tx, server, Cause.UNPLACED, host=None, vnc_port=None, power_state=0)


async def servers_wired(tx: Tx, server_ids: Iterable[str]) -> None:
    """The ports are ready, the guests may boot."""
    rows = await servers_lock(tx, server_ids)
    await servers_move(tx, Cause.WIRED, [(row, {}) for row in rows.values() if row["task_state"] != "spawning"])


async def servers_booted(tx: Tx, guests: Mapping[str, tuple[PowerState, int | None]]) -> None:
    """Guests, given as (power state, VNC port) by server id, run for the first time: their servers are ACTIVE, and
    metered from now on."""
    now = clock.now()
    rows = [row for row in (await servers_lock(tx, guests)).values() if row["launched_at"] is None]
    moves = []
    for row in rows:
        power_state, vnc_port = guests[row["id"]]
        moves.append((row, {"power_state": POWER_NUMBERS[power_state], "vnc_port": vnc_port, "launched_at": now}))
    await servers_move(tx, Cause.BOOTED, moves)
    for row in rows:
        with on_behalf_of(row["id"]):
            tx.publish(_created(row, now), project_id=row["project_id"])


def _created(server: Any, launched_at: datetime) -> ServerCreated:
    return ServerCreated(
        server_id=server["id"],
        name=server["name"],
        host=server["host"],
        flavor_name=server["flavor_name"],
        vcpus=server["vcpus"],
        memory_mib=server["memory_mib"],
        disk_gib=server["disk_gib"],
        launched_at=launched_at,
    )


async def _powered(tx: Tx, server_id: str, cause: Cause, power_state: PowerState, **columns: Any) -> Any:
    server = await server_lock(tx, server_id)
    return await server_move(tx, server, cause, power_state=POWER_NUMBERS[power_state], **_NO_FAULT, **columns)


_NO_FAULT: Mapping[str, None] = {"fault_code": None, "fault_message": None, "fault_details": None, "fault_at": None}


async def server_started(tx: Tx, server_id: str, power_state: PowerState, vnc_port: int | None = None) -> Any:
    """A start ended well: ACTIVE. Answers the row."""
    return await _powered(tx, server_id, Cause.STARTED, power_state, vnc_port=vnc_port)


async def server_stopped(tx: Tx, server_id: str, power_state: PowerState) -> Any:
    """A stop ended well: SHUTOFF. Answers the row."""
    return await _powered(tx, server_id, Cause.STOPPED, power_state)


async def server_rebooted(tx: Tx, server_id: str, power_state: PowerState, vnc_port: int | None = None) -> Any:
    """A reboot ended well: ACTIVE. Answers the row."""
    return await _powered(tx, server_id, Cause.REBOOTED, power_state, vnc_port=vnc_port)


async def server_gave_up(tx: Tx, server_id: str) -> Any:
    """An action was given up and undone; the server is as before it, and idle. Answers the row."""
    server = await server_lock(tx, server_id)
    return server if server["deleted"] else await server_move(tx, server, Cause.GAVE_UP)


async def server_fail(
    tx: Tx,
    server_id: str,
    code: str,
    reason: str,
    details: Mapping[str, Any] | None = None,
    *,
    deleting: bool = False,
) -> Any:
    """Something was given up: ERROR, with a fault that says why. Answers the row.

    `details` of a refused placement are the scheduler's reasons. A build that was interrupted by a delete does not
    fail, it goes; a delete that fails says so with `deleting`.
    """
    server = await server_lock(tx, server_id)
    building = server["state"] == State.BUILD
    if server["deleted"] or (building and server["task_state"] == DELETING and not deleting):
        return server
    told = dict(details or {})
    columns: dict[str, Any] = {
        "fault_code": FAULT_CODE,
        "fault_message": fault_message(code, reason, told)[:255],
        "fault_details": fault_details(told),
        "fault_at": clock.now(),
    }
    if building and not deleting:
        event = ServerFailed(server_id=server_id, code=code, reason=reason, details=told)
        tx.publish(event, project_id=server["project_id"])
    return await server_move(tx, server, Cause.FAILED, **columns)


def fault_message(code: str, reason: str, details: Mapping[str, Any]) -> str:
    """What the owner reads: the reason; of a refused placement how many hosts each filter removed and what the closest
    lacked, but not which hosts those are."""
    if code != NO_HOST or "hosts" not in details:
        return reason
    if not details["hosts"]:
        return "No valid host was found. There are no hosts."
    removed = ", ".join(f"{name} removed {count}" for name, count in (details.get("removed") or {}).items())
    closest = (details.get("closest") or [{}])[0].get("reason")
    near = f"; the closest: {closest}" if closest else ""
    return f"No valid host was found. Of {details['hosts']}, {removed or 'none was left'}{near}."


def fault_details(details: Mapping[str, Any]) -> str | None:
    """What an administrator reads: after a refused placement, which hosts came closest and what each of them lacked."""
    lines = [f"{one.get('host', '?')}: {one.get('reason', '?')}" for one in details.get("closest") or []]
    lines += [f"{key}: {value}" for key, value in details.items() if key != "closest"]
    return "\n".join(lines) or None


async def servers_gone(tx: Tx, server_ids: Iterable[str]) -> None:
    """Nothing of the servers is left; metering ends now. The rows stay for lists of deleted servers."""
    now = clock.now()
    rows = [row for row in (await servers_lock(tx, server_ids)).values() if not row["deleted"]]
    gone = {"power_state": 0, "vnc_port": None, "deleted": True, "terminated_at": now}
    await servers_move(tx, Cause.DELETED, [(row, gone) for row in rows])
    for row in rows:
        with on_behalf_of(row["id"]):
            tx.publish(ServerDeleted(server_id=row["id"], terminated_at=now), project_id=row["project_id"])


async def server_power_seen(tx: Tx, server_id: str, host: str, power_state: PowerState) -> bool:
    """A host saw a guest running or not. Follows it when the server is idle on that host; answers whether it moved."""
    server = await server_lock(tx, server_id)
    on = power_state in ("running", "paused")
    number = POWER_NUMBERS[power_state]
    expects = server["state"] in (State.ACTIVE, State.SHUTOFF)
    # Both: an administrator may have said that it is active without its guest having started.
    agrees = server["power_state"] == number and on == (server["state"] == State.ACTIVE)
    if not expects or server["host"] != host or server["task_state"] is not None or agrees:
        return False
    await server_move(tx, server, Cause.POWERED_ON if on else Cause.POWERED_OFF, power_state=number)
    return True


async def servers_expected(store: Store | Tx, host: str) -> list[Any]:
    """What should be on `host`: rows with id, project_id, host, state, task_state, power_state."""
    return await store.fetch(EXPECTED, host)


async def servers_hostless(store: Store | Tx, server_ids: Sequence[str]) -> list[str]:
    """Those of the ids whose servers are on no host: gone, given up, or never there."""
    return [row["id"] for row in await store.fetch(HOSTLESS, list(server_ids))]

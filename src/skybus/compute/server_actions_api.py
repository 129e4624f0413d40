"""POST /servers/{id}/action: one path, many actions, each named by the body's only key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from skybus.compute.servers import server_change, server_lock, server_move
from skybus.compute.servers_api import seen, unlocked
from skybus.compute.states import POWER_NUMBERS, VM_STATES, Cause, State
from skybus.errors import BadRequest, Conflict
from skybus.http import schemas
from skybus.http.call import Call, Reply
from skybus.http.routes import Route
from skybus.http.versions import Version
from skybus.saga.operations import operation_start, operation_wait

API = "os_compute_api:"
CONSOLE_SECONDS = 20.0
"""How long a caller waits for a console's text."""
REASON_SINCE: Version = (2, 73)

Action = Callable[[Call, Any, Any], Awaitable[Reply]]
"""(call, the server's row, what the body says under the action's name)."""


def _wrong_state(server: Any, action: str) -> Conflict:
    return Conflict(
        f"Cannot '{action}' instance {server['id']} while it is in vm_state {VM_STATES[server['state']]}",
        code="server.state",
    )


async def _begin(
    call: Call,
    row: Any,
    action: str,
    states: tuple[State, ...],
    cause: Cause,
    kind: str,
    memo: dict[str, Any] | None = None,
) -> Reply:
    """Start an operation on a server that is idle and in one of `states`. Raises Conflict."""
    async with call.transaction() as tx:
        # The operation before the server: the conductor locks in this order too.
        await operation_start(tx, kind, resource_type="server", resource_id=row["id"], memo=memo)
        server = await server_lock(tx, row["id"])
        unlocked(call, server)
        if server["state"] not in states:
            raise _wrong_state(server, action)
        if server["host"] is None:
            raise Conflict(f"Cannot '{action}' instance {server['id']}: it is on no host.", code="server.no-host")
        if server["task_state"] is not None:
            raise Conflict(
                f"Cannot '{action}' instance {server['id']} while it is in task_state {server['task_state']}",
                code="server.task",
            )
        await server_move(tx, server, cause)
    return Reply(status=202)


async def start(call: Call, row: Any, said: Any) -> Reply:
    """Power on."""
    return await _begin(call, row, "start", (State.SHUTOFF,), Cause.START_ASKED, "server_start")


async def stop(call: Call, row: Any, said: Any) -> Reply:
    """Ask the guest to shut down, and pull the plug when it does not."""
    return await _begin(call, row, "stop", (State.ACTIVE, State.ERROR), Cause.STOP_ASKED, "server_stop")


async def reboot(call: Call, row: Any, said: Any) -> Reply:
    """Restart; a hard reboot also brings a stopped or failed server back."""
    schemas.check("compute/server-reboot", call.body)
    if said["type"].upper() == "HARD":
        states = (State.ACTIVE, State.SHUTOFF, State.ERROR)
        return await _begin(call, row, "reboot", states, Cause.HARD_REBOOT_ASKED, "server_reboot", {"hard": True})
    return await _begin(call, row, "reboot", (State.ACTIVE,), Cause.REBOOT_ASKED, "server_reboot", {"hard": False})


async def console_output(call: Call, row: Any, said: Any) -> Reply:
    """The end of the serial console, read from the host while the caller waits."""
    schemas.check("compute/server-console", call.body)
    length = said.get("length")
    lines = None if length in (None, "", -1, "-1") else int(length)
    if row["host"] is None or row["state"] == State.BUILD:
        raise Conflict(f"Instance {row['id']} is not ready")
    async with call.transaction() as tx:
        operation_id = await operation_start(
            tx,
            "server_console",
            resource_type="server",
            resource_id=row["id"],
            memo={"lines": lines},
            exclusive=False,
        )
    operation = await operation_wait(call.store, operation_id, CONSOLE_SECONDS)
    if operation.state != "done":
        reason = (operation.error or {}).get("reason") or "its host did not answer"
        raise Conflict(f"Unable to get console log of instance {row['id']}: {reason}", code="server.console")
    return Reply({"output": operation.memo.get("text", "")})


async def lock(call: Call, row: Any, said: Any) -> Reply:
    """Guard the server against changes."""
    if call.version >= REASON_SINCE:
        schemas.check("compute/server-lock", call.body)
    reason = said.get("locked_reason") if call.version >= REASON_SINCE and isinstance(said, dict) else None
    owner = row["project_id"] == call.caller.project_id
    async with call.transaction() as tx:
        server = await server_lock(tx, row["id"])
        await server_change(tx, server, ["locked"], locked_by="owner" if owner else "admin", locked_reason=reason)
    return Reply(status=202)


async def unlock(call: Call, row: Any, said: Any) -> Reply:
    """Let the server be changed again; what an administrator locked, an administrator unlocks."""
    async with call.transaction() as tx:
        server = await server_lock(tx, row["id"])
        if server["locked_by"] == "admin":
            call.require(f"{API}os-lock-server:unlock:unlock_override", project_id=row["project_id"])
        await server_change(tx, server, ["locked"], locked_by=None, locked_reason=None)
    return Reply(status=202)


async def reset_state(call: Call, row: Any, said: Any) -> Reply:
    """Say that the server is active or in error; nothing is done to its guest."""
    schemas.check("compute/server-reset-state", call.body)
    cause = Cause.RESET_ACTIVE if said["state"] == "active" else Cause.RESET_ERROR
    async with call.transaction() as tx:
        server = await server_lock(tx, row["id"])
        power = {} if cause is Cause.RESET_ACTIVE else {"power_state": POWER_NUMBERS["absent"]}
        await server_move(tx, server, cause, **power)
    return Reply(status=202)


ACTIONS: Mapping[str, tuple[str, Action]] = {
    "os-start": (f"{API}servers:start", start),
    "os-stop": (f"{API}servers:stop", stop),
    "reboot": (f"{API}servers:reboot", reboot),
    "os-getConsoleOutput": (f"{API}os-console-output", console_output),
    "lock": (f"{API}os-lock-server:lock", lock),
    "unlock": (f"{API}os-lock-server:unlock", unlock),
    "os-resetState": (f"{API}os-admin-actions:reset_state", reset_state),
}
"""Action to (policy rule, function)."""
NEVER = frozenset(["unpause", "resume", "unshelve", "restore", "confirmResize", "revertResize", "unrescue"])
"""Actions that lead back from states which no server of ours is ever in: a conflict, whatever the server."""
UNOFFERED = frozenset(
    [
        "pause",
        "suspend",
        "rescue",
        "shelve",
        "shelveOffload",
        "resize",
        "rebuild",
        "createImage",
        "createBackup",
        "changePassword",
        "migrate",
        "os-migrateLive",
        "evacuate",
        "forceDelete",
        "os-getVNCConsole",
        "os-getSPICEConsole",
        "os-getSerialConsole",
        "os-getRDPConsole",
        "addSecurityGroup",
        "removeSecurityGroup",
        "addFloatingIp",
        "removeFloatingIp",
        "addFixedIp",
        "removeFixedIp",
        "injectNetworkInfo",
        "resetNetwork",
        "trigger_crash_dump",
    ]
)
"""Actions of Nova's that this cloud does not offer yet."""


async def act(call: Call) -> Reply:
    """Do what the body's only key names."""
    ((name, said),) = call.body.items()
    row = await seen(call)
    known = ACTIONS.get(name)
    if known is not None:
        rule, action = known
        call.require(rule, project_id=row["project_id"], user_id=row["user_id"])
        return await action(call, row, said)
    if name in NEVER:
        raise _wrong_state(row, name)
    if name in UNOFFERED:
        raise BadRequest(f"The action {name!r} is not offered by this cloud.", code="server.action-not-offered")
    raise BadRequest(f"There is no such action: {name[:64]!r}")


ROUTES: list[Route] = [
    Route(
        method="POST",
        path="/servers/{id}/action",
        handler=act,
        policy="project_member_or_admin",
        body="compute/server-action",
    )
]

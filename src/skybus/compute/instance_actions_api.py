"""Routes of instance actions: what was done to a server, told from its operations."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from skybus.compute.asked import MAX_LIMIT
from skybus.compute.server_views import host_id
from skybus.compute.servers_api import seen
from skybus.errors import BadRequest, NotFound
from skybus.http import times
from skybus.http.call import Call, Reply
from skybus.http.paging import next_url, page_of
from skybus.http.routes import NO_BODY, Route
from skybus.http.versions import Version
from skybus.saga.operations import ENDED, Operation, operations_of

API = "os_compute_api:os-instance-actions:"
DELETED_SINCE: Version = (2, 21)
EVENTS_SINCE: Version = (2, 51)
PAGES_SINCE: Version = (2, 58)
HOST_SINCE: Version = (2, 62)
BEFORE_SINCE: Version = (2, 66)
DETAILS_SINCE: Version = (2, 84)

ACTIONS = {
    "server_create": "create",
    "server_delete": "delete",
    "server_start": "start",
    "server_stop": "stop",
    "server_reboot": "reboot",
}
"""Operations that the API calls actions, by Nova's names. Reading a console is none."""


def _action(call: Call, server_id: str, operation: Operation) -> dict[str, Any]:
    view = {
        "action": ACTIONS[operation.kind],
        "instance_uuid": server_id,
        "request_id": operation.request_id,
        "user_id": operation.user_id,
        "project_id": operation.project_id,
        "start_time": times.micros(operation.created_at),
        "message": "Error" if operation.error else None,
    }
    if call.version >= PAGES_SINCE:
        view["updated_at"] = times.micros(operation.updated_at)
    return view


async def _operations(call: Call, server_id: str) -> list[Operation]:
    found = await operations_of(call.store, "server", server_id, MAX_LIMIT)
    return [operation for operation in found if operation.kind in ACTIONS]


async def list_actions(call: Call) -> Reply:
    """What was done to a server, newest first."""
    row = await seen(call, deleted=call.version >= DELETED_SINCE)
    found = await _operations(call, row["id"])
    body: dict[str, Any] = {}
    if call.version >= PAGES_SINCE:
        found = _changed(call, found)
        page = page_of(call, keys={"created_at": ""}, default_sort="created_at", max_limit=MAX_LIMIT)
        if page.marker is not None:
            found = _behind(found, page.marker)
        if len(found) > page.limit > 0:
            found = found[: page.limit]
            path = f"{call.base}/servers/{row['id']}/os-instance-actions"
            body["links"] = [{"rel": "next", "href": next_url(call, path, found[-1].request_id, page.limit)}]
        found = found[: page.limit]
    return Reply({"instanceActions": [_action(call, row["id"], operation) for operation in found], **body})


def _behind(found: list[Operation], marker: str) -> list[Operation]:
    for index, operation in enumerate(found):
        if operation.request_id == marker:
            return found[index + 1 :]
    raise BadRequest(f"marker [{marker[:64]}] not found")


def _changed(call: Call, found: list[Operation]) -> list[Operation]:
    since, before = _moment(call, "changes-since"), _moment(call, "changes-before")
    if before is not None and call.version < BEFORE_SINCE:
        raise BadRequest("Additional properties are not allowed ('changes-before' was unexpected).")
    if since is not None and before is not None and before < since:
        raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    return [
        one
        for one in found
        if (since is None or one.updated_at >= since) and (before is None or one.updated_at <= before)
    ]


def _moment(call: Call, name: str) -> datetime | None:
    return times.parse(call.query[name], name) if name in call.query else None


async def show_action(call: Call) -> Reply:
    """What one request did to a server, and how that ended."""
    row = await seen(call, deleted=call.version >= DELETED_SINCE)
    for operation in await _operations(call, row["id"]):
        if operation.request_id == call.args["request_id"]:
            view = _action(call, row["id"], operation)
            admin = call.permits(f"{API}events", project_id=row["project_id"])
            if admin or call.version >= EVENTS_SINCE:
                view["events"] = [_event(call, row, operation, admin)]
            return Reply({"instanceAction": view})
    raise NotFound(f"Action {call.args['request_id'][:64]} not found")


def _event(call: Call, row: Any, operation: Operation, admin: bool) -> dict[str, Any]:
    """The operation as the one event of its action."""
    ended = operation.state in ENDED
    reason = (operation.error or {}).get("reason")
    event: dict[str, Any] = {
        "event": f"compute_{operation.kind}",
        "start_time": times.micros(operation.created_at),
        "finish_time": times.micros(operation.finished_at),
        "result": ("Error" if operation.error else "Success") if ended else None,
    }
    if admin:
        event["traceback"] = reason
    if call.version >= HOST_SINCE:
        event["hostId"] = host_id(row["project_id"], row["host"])
        if admin:
            event["host"] = row["host"] or ""
    if call.version >= DETAILS_SINCE and call.permits(f"{API}events:details", project_id=row["project_id"]):
        event["details"] = reason
    return event


ROUTES: list[Route] = [
    Route(
        method="GET",
        path="/servers/{id}/os-instance-actions",
        handler=list_actions,
        policy=f"{API}list",
        body=NO_BODY,
    ),
    Route(
        method="GET",
        path="/servers/{id}/os-instance-actions/{request_id}",
        handler=show_action,
        policy=f"{API}show",
        body=NO_BODY,
    ),
]

"""GET /operations: what was accepted, how far it is, and how it ended."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest, NotFound
from skybus.http.call import Call, Reply
from skybus.http.paging import Where, next_url
from skybus.http.routes import NO_BODY, Route
from skybus.http.times import micros_z
from skybus.ids import is_uuid
from skybus.saga.operations import COLUMNS, Operation, operation_get
from skybus.saga.plans import PLANS

MAX_LIMIT = 1000
STATES = ("waiting", "running", "undoing", "done", "undone", "failed")


def shown(operation: Operation) -> dict[str, Any]:
    """An operation as its owner sees it: its steps, the one that is awaited, attempts, deadline, error."""
    names = PLANS.get(operation.kind, ())
    return {
        "id": operation.id,
        "kind": operation.kind,
        "project_id": operation.project_id,
        "user_id": operation.user_id,
        "request_id": operation.request_id,
        "resource_type": operation.resource_type,
        "resource_id": operation.resource_id,
        "state": operation.state,
        "steps": [{"name": name, "state": _step_state(operation, index)} for index, name in enumerate(names)],
        "awaiting": [
            {"worker": one.to, "order": one.key, "answered": one.answer_type is not None}
            for one in operation.awaiting.values()
        ],
        "attempt": operation.attempt,
        "deadline": micros_z(operation.deadline),
        "error": operation.error,
        "created_at": micros_z(operation.created_at),
        "updated_at": micros_z(operation.updated_at),
        "finished_at": micros_z(operation.finished_at),
    }


def _step_state(operation: Operation, index: int) -> str:
    if operation.state == "done" or (operation.state == "running" and index < operation.step):
        return "done"
    if operation.state == "undone" or (operation.state == "undoing" and index > operation.step):
        return "undone"
    if index == operation.step:
        return {"running": "awaited", "undoing": "undoing", "failed": "failed"}.get(operation.state, "pending")
    return "done" if operation.state in ("undoing", "failed") and index < operation.step else "pending"


async def list_operations(call: Call) -> Reply:
    """Newest first; filters: state, kind, resource_type, resource_id, request_id, and for an admin project_id."""
    where = Where()
    if not call.permits("events:admin"):
        where.add("project_id = {}", call.project_id)
    elif "project_id" in call.query:
        where.add("project_id = {}", call.query["project_id"])
    for name in ("kind", "resource_type", "resource_id", "request_id"):
        if name in call.query:
            where.add(f"{name} = {{}}", call.query[name])
    if "state" in call.query:
        states = call.query["state"].split(",")
        if any(state not in STATES for state in states):
            raise BadRequest(f"A state is one of {', '.join(STATES)}.")
        where.add("state = ANY({}::text[])", states)
    limit = _limit(call)
    marker = call.query.get("marker")
    if marker is not None:
        if not is_uuid(marker):
            raise BadRequest("The marker is the id of an operation.")
        where.add("id < {}::uuid", marker)
    sql = f"SELECT {COLUMNS} FROM saga.operation {where.sql} ORDER BY id DESC LIMIT {limit + 1}"
    rows = await call.store.fetch(sql, *where.args)
    body: dict[str, Any] = {"operations": [shown(Operation.of(row)) for row in rows[:limit]]}
    if len(rows) > limit and limit:
        href = next_url(call, f"{call.base}/operations", rows[limit - 1]["id"], limit)
        body["operations_links"] = [{"rel": "next", "href": href}]
    return Reply(body)


def _limit(call: Call) -> int:
    text = call.query.get("limit", "100")
    if not text.isdecimal() or len(text) > 6:
        raise BadRequest("limit must be a non-negative integer.")
    return min(int(text), MAX_LIMIT)


async def show_operation(call: Call) -> Reply:
    """One operation of the caller's project."""
    operation_id = call.args["operation_id"]
    operation = await operation_get(call.store, operation_id) if is_uuid(operation_id) else None
    if operation is None or not call.permits("events:operations:show", project_id=operation.project_id):
        raise NotFound(f"Operation {operation_id} could not be found.")
    return Reply({"operation": shown(operation)})


ROUTES = [
    Route(method="GET", path="/operations", handler=list_operations, policy="events:operations:list", body=NO_BODY),
    Route(
        method="GET",
        path="/operations/{operation_id}",
        handler=show_operation,
        policy="events:operations:show",
        body=NO_BODY,
    ),
]

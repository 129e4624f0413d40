"""The audit trail, for those who may read it: routes."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest
from skybus.http.call import Call, Reply
from skybus.http.paging import Where, next_url
from skybus.http.routes import NO_BODY, Route
from skybus.http.times import parse
from skybus.identity.audit import audit_events
from skybus.identity.rows import links_of, missing, query_text
from skybus.ids import first_id_at, is_uuid

FILTERS = {
    "user_id": "user_id",
    "project_id": "project_id",
    "domain_id": "domain_id",
    "target_id": "target_id",
    "target_type": "target_type",
    "outcome": "outcome",
    "reason": "reason",
    "address": "address",
    "request_id": "request_id",
    "global_request_id": "global_request_id",
    "token_audit_id": "token_id",
    "credential_id": "delegation_id",
}
"""Query parameter -> column."""
MOST = 1000


async def list_audit_events(call: Call) -> Reply:
    """`GET /audit_events`, newest first: filters (see FILTERS), `action` (`identity.user.*` is all of a kind), `since`
    and `until` (ISO 8601, the latter excluded), `limit`, `marker`."""
    where, limit = _where(call), _limit(call)
    rows = await audit_events.audit_events_list(call.store, where.sql, where.args, limit + 1)
    links = links_of(call)
    if len(rows) > limit:
        rows = rows[:limit]
        links["next"] = next_url(call, call.public_url + call.request.path, rows[-1]["id"], limit)
    base = call.base + "/v3"
    return Reply({"audit_events": [audit_events.audit_event_view(row, base) for row in rows], "links": links})


def _where(call: Call) -> Where:
    where = Where()
    for name, column in FILTERS.items():
        if name in call.query:
            where.add(f"{column} = {{}}", query_text(call, name))
    if "action" in call.query:
        action = query_text(call, "action").replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        where.add("action LIKE {}", action.replace("*", "%"))
    for name, comparison in (("since", ">="), ("until", "<")):
        if name in call.query:
            where.add(f"id {comparison} {{}}::uuid", _moment_id(call, name))
    marker = call.query.get("marker")
    if marker is not None:
        if not is_uuid(marker):
            raise BadRequest("The marker is the id of an audit event.")
        where.add("id < {}::uuid", marker)
    return where


def _moment_id(call: Call, name: str) -> str:
    moment = parse(call.query[name], name)
    if moment.timestamp() < 0:
        raise BadRequest(f"{name} lies before 1970.")
    return first_id_at(moment)


def _limit(call: Call) -> int:
    text = call.query.get("limit", "100")
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:6]) <= 999_999:
        raise BadRequest("limit must be a positive integer.")
    return min(int(text[:6]), MOST)


async def show_audit_event(call: Call) -> Reply:
    """`GET /audit_events/{event_id}`."""
    event_id = call.args["event_id"]
    row = await audit_events.audit_event_find(call.store, event_id) if is_uuid(event_id) else None
    if row is None:
        raise missing("audit event", event_id)
    return Reply({"audit_event": audit_events.audit_event_view(row, call.base + "/v3")})


def _get(path: str, handler: Any, rule: str) -> Route:
    path = "/v3/audit_events" + path
    return Route(method="GET", path=path, handler=handler, policy=f"identity:{rule}", body=NO_BODY)


ROUTES = [
    _get("", list_audit_events, "list_audit_events"),
    _get("/{event_id}", show_audit_event, "get_audit_event"),
]

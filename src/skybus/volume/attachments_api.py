"""Routes of attachments, for reading: what makes and ends them is the server's API, with its own identity.

A user who could end an attachment here would leave the disk in a guest that still writes to it (CVE-2023-2088).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skybus.errors import BadRequest
from skybus.http.call import Call, Reply
from skybus.http.paging import Where, next_url, page_of
from skybus.http.routes import NO_BODY, Route
from skybus.http.times import micros
from skybus.ids import is_uuid
from skybus.volume.attachments import SORT_KEYS, attachment_get, attachment_list, not_found
from skybus.volume.forms import boolean, both, collection, is_admin

SINCE = (3, 27)


def _brief(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "volume_id": row["volume_id"],
        "instance": row["server_id"],
        "status": row["state"],
    }


def _full(row: Mapping[str, Any]) -> dict[str, Any]:
    """Where it is exported and with which password is between the two hosts."""
    return {
        **_brief(row),
        "attached_at": micros(row["attached_at"]),
        "detached_at": None,
        "attach_mode": "rw",
        "connection_info": {},
    }


def _conditions(call: Call) -> Where:
    where, query = Where(), call.query
    if not (is_admin(call) and boolean(query.get("all_tenants", "0"), "all_tenants")):
        where.add("a.project_id = {}", call.project_id)
    for name, column in (("volume_id", "a.volume_id"), ("instance_id", "a.server_id"), ("attachment_id", "a.id")):
        if name in query:
            if not is_uuid(query[name]):
                raise BadRequest(f"Invalid filter {name}: it must be an id.")
            where.add(f"{column} = {{}}", query[name])
    if "status" in query:
        where.add("a.state = {}", query["status"])
    return where


async def list_attachments(call: Call) -> Reply:
    """GET /attachments."""
    return await _list(call, detail=False)


async def list_attachments_in_detail(call: Call) -> Reply:
    """GET /attachments/detail."""
    return await _list(call, detail=True)


async def _list(call: Call, detail: bool) -> Reply:
    page = page_of(call, keys=SORT_KEYS, default_sort="created_at")
    rows = await attachment_list(call.store, _conditions(call), page)
    show = _full if detail else _brief
    body: dict[str, Any] = {"attachments": [show(row) for row in rows[: page.limit]]}
    if len(rows) > page.limit > 0:
        path = collection(call, "attachments/detail" if detail else "attachments")
        href = next_url(call, path, rows[page.limit - 1]["id"], page.limit)
        body["attachments_links"] = [{"rel": "next", "href": href}]
    return Reply(body)


async def show_attachment(call: Call) -> Reply:
    """GET /attachments/{attachment_id}."""
    row = await attachment_get(call.store, call.args["attachment_id"])
    if not is_admin(call) and row["project_id"] != call.project_id:
        raise not_found(row["id"])
    call.require("volume:get", project_id=row["project_id"])
    return Reply({"attachment": _full(row)})


ROUTES: list[Route] = both(
    Route(
        method="GET",
        path="/attachments",
        handler=list_attachments,
        policy="volume:get_all",
        body=NO_BODY,
        since=SINCE,
    ),
    Route(
        method="GET",
        path="/attachments/detail",
        handler=list_attachments_in_detail,
        policy="volume:get_all",
        body=NO_BODY,
        since=SINCE,
    ),
    Route(
        method="GET",
        path="/attachments/{attachment_id}",
        handler=show_attachment,
        policy="volume:get",
        body=NO_BODY,
        since=SINCE,
    ),
)

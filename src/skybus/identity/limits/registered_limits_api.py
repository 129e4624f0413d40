"""Registered limits: routes."""

from __future__ import annotations

from typing import Any

from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity.limits import registered_limits
from skybus.identity.rows import body_of, change, listing, path_id, text_filter


async def list_registered_limits(call: Call) -> Reply:
    """`GET /registered_limits`."""
    where = Where()
    for name in ("service_id", "region_id", "resource_name"):
        text_filter(call, where, name, f"r.{name}")
    view = registered_limits.registered_limit_view
    return await listing(call, "registered_limits", registered_limits.LIST, where, view, "r.id")


async def create_registered_limits(call: Call) -> Reply:
    """`POST /registered_limits`: all of them or none."""
    asked: Any = body_of(call, "registered_limits")
    async with change(call) as tx:
        rows = [await registered_limits.registered_limit_insert(tx, one) for one in asked]
    base = call.base + "/v3"
    return Reply({"registered_limits": [registered_limits.registered_limit_view(row, base) for row in rows]}, 201)


def _id(call: Call) -> str:
    return path_id(call, "registered_limit_id", "registered limit")


async def show_registered_limit(call: Call) -> Reply:
    """`GET /registered_limits/{registered_limit_id}`."""
    return _shown(call, await registered_limits.registered_limit_get(call.store, _id(call)))


async def update_registered_limit(call: Call) -> Reply:
    """`PATCH /registered_limits/{registered_limit_id}`."""
    asked = body_of(call, "registered_limit")
    async with change(call) as tx:
        row = await registered_limits.registered_limit_update(tx, _id(call), asked)
    return _shown(call, row)


async def delete_registered_limit(call: Call) -> Reply:
    """`DELETE /registered_limits/{registered_limit_id}`."""
    async with change(call) as tx:
        await registered_limits.registered_limit_delete(tx, _id(call))
    return Reply(None, 204)


def _shown(call: Call, row: Any) -> Reply:
    return Reply({"registered_limit": registered_limits.registered_limit_view(row, call.base + "/v3")})


def _route(method: str, path: str, handler: Any, rule: str, body: str = NO_BODY) -> Route:
    path = "/v3/registered_limits" + path
    return Route(method=method, path=path, handler=handler, policy=f"identity:{rule}", body=body)


ROUTES = [
    _route("GET", "", list_registered_limits, "list_registered_limits"),
    _route("POST", "", create_registered_limits, "create_registered_limits", "identity/registered-limits-create"),
    _route("GET", "/{registered_limit_id}", show_registered_limit, "get_registered_limit"),
    _route(
        "PATCH",
        "/{registered_limit_id}",
        update_registered_limit,
        "update_registered_limit",
        "identity/registered-limit-update",
    ),
    _route("DELETE", "/{registered_limit_id}", delete_registered_limit, "delete_registered_limit"),
]

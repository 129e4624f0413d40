"""Mappings: routes."""

from __future__ import annotations

from typing import Any

from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity.federation import mappings
from skybus.identity.federation.mapping_checks import check_mapping
from skybus.identity.rows import body_of, change, listing, path_id

PATH = "/v3/OS-FEDERATION/mappings"


async def list_mappings(call: Call) -> Reply:
    """`GET /OS-FEDERATION/mappings`."""
    return await listing(call, "mappings", mappings.LIST, Where(), mappings.mapping_view, "m.id")


async def show_mapping(call: Call) -> Reply:
    """`GET /OS-FEDERATION/mappings/{mapping_id}`."""
    return _shown(call, await mappings.mapping_get(call.store, _id(call)))


async def create_mapping(call: Call) -> Reply:
    """`PUT /OS-FEDERATION/mappings/{mapping_id}`."""
    asked = _checked(call)
    async with change(call) as tx:
        row = await mappings.mapping_insert(tx, _id(call), asked)
    return _shown(call, row, 201)


async def update_mapping(call: Call) -> Reply:
    """`PATCH /OS-FEDERATION/mappings/{mapping_id}`."""
    asked = _checked(call)
    async with change(call) as tx:
        row = await mappings.mapping_update(tx, _id(call), asked)
    return _shown(call, row)


async def delete_mapping(call: Call) -> Reply:
    """`DELETE /OS-FEDERATION/mappings/{mapping_id}`."""
    async with change(call) as tx:
        await mappings.mapping_delete(tx, _id(call))
    return Reply(None, 204)


def _checked(call: Call) -> dict[str, Any]:
    asked = body_of(call, "mapping")
    check_mapping(asked["rules"], asked.get("schema_version") or mappings.DEFAULT_VERSION)
    return asked


def _id(call: Call) -> str:
    return path_id(call, "mapping_id", "mapping")


def _shown(call: Call, row: Any, status: int = 200) -> Reply:
    return Reply({"mapping": mappings.mapping_view(row, call.base + "/v3")}, status)


def _route(method: str, path: str, handler: Any, rule: str, body: str = NO_BODY) -> Route:
    return Route(method=method, path=PATH + path, handler=handler, policy=f"identity:{rule}", body=body)


ROUTES = [
    _route("GET", "", list_mappings, "list_mappings"),
    _route("GET", "/{mapping_id}", show_mapping, "get_mapping"),
    _route("PUT", "/{mapping_id}", create_mapping, "create_mapping", "identity/mapping"),
    _route("PATCH", "/{mapping_id}", update_mapping, "update_mapping", "identity/mapping"),
    _route("DELETE", "/{mapping_id}", delete_mapping, "delete_mapping"),
]

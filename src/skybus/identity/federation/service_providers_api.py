"""Service providers: routes."""

from __future__ import annotations

from typing import Any

from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity.federation import service_providers as providers
from skybus.identity.rows import body_of, change, flag_filter, listing, path_id, text_filter

PATH = "/v3/OS-FEDERATION/service_providers"


async def list_providers(call: Call) -> Reply:
    """`GET /OS-FEDERATION/service_providers`."""
    where = Where()
    text_filter(call, where, "id", "s.id")
    flag_filter(call, where, "enabled", "s.enabled")
    return await listing(call, "service_providers", providers.LIST, where, providers.service_provider_view, "s.id")


async def show_provider(call: Call) -> Reply:
    """`GET /OS-FEDERATION/service_providers/{sp_id}`."""
    return _shown(call, await providers.service_provider_get(call.store, _id(call)))


async def create_provider(call: Call) -> Reply:
    """`PUT /OS-FEDERATION/service_providers/{sp_id}`."""
    async with change(call) as tx:
        row = await providers.service_provider_insert(tx, _id(call), body_of(call, "service_provider"))
    return _shown(call, row, 201)


async def update_provider(call: Call) -> Reply:
    """`PATCH /OS-FEDERATION/service_providers/{sp_id}`."""
    async with change(call) as tx:
        row = await providers.service_provider_update(tx, _id(call), body_of(call, "service_provider"))
    return _shown(call, row)


async def delete_provider(call: Call) -> Reply:
    """`DELETE /OS-FEDERATION/service_providers/{sp_id}`."""
    async with change(call) as tx:
        await providers.service_provider_delete(tx, _id(call))
    return Reply(None, 204)


def _id(call: Call) -> str:
    return path_id(call, "sp_id", "Service Provider")


def _shown(call: Call, row: Any, status: int = 200) -> Reply:
    return Reply({"service_provider": providers.service_provider_view(row, call.base + "/v3")}, status)


def _route(method: str, path: str, handler: Any, rule: str, body: str = NO_BODY) -> Route:
    return Route(method=method, path=PATH + path, handler=handler, policy=f"identity:{rule}", body=body)


ROUTES = [
    _route("GET", "", list_providers, "list_service_providers"),
    _route("GET", "/{sp_id}", show_provider, "get_service_provider"),
    _route("PUT", "/{sp_id}", create_provider, "create_service_provider", "identity/service-provider-create"),
    _route("PATCH", "/{sp_id}", update_provider, "update_service_provider", "identity/service-provider-update"),
    _route("DELETE", "/{sp_id}", delete_provider, "delete_service_provider"),
]

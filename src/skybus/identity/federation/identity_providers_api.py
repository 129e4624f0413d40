"""Identity providers: routes."""

from __future__ import annotations

from typing import Any

from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity.federation import identity_providers as providers
from skybus.identity.rows import body_of, change, flag_filter, listing, path_id, text_filter

PATH = "/v3/OS-FEDERATION/identity_providers"


async def list_providers(call: Call) -> Reply:
    """`GET /OS-FEDERATION/identity_providers`."""
    where = Where()
    text_filter(call, where, "id", "i.id")
    flag_filter(call, where, "enabled", "i.enabled")
    return await listing(call, "identity_providers", providers.LIST, where, providers.provider_view, "i.id")


async def show_provider(call: Call) -> Reply:
    """`GET /OS-FEDERATION/identity_providers/{idp_id}`."""
    return _shown(call, await providers.provider_get(call.store, _id(call)))


async def create_provider(call: Call) -> Reply:
    """`PUT /OS-FEDERATION/identity_providers/{idp_id}`."""
    provider_id = _id(call)
    async with change(call) as tx:
        row = await providers.provider_insert(tx, provider_id, body_of(call, "identity_provider"))
    return _shown(call, row, 201)


async def update_provider(call: Call) -> Reply:
    """`PATCH /OS-FEDERATION/identity_providers/{idp_id}`."""
    async with change(call) as tx:
        row = await providers.provider_update(tx, _id(call), body_of(call, "identity_provider"))
    return _shown(call, row)


async def delete_provider(call: Call) -> Reply:
    """`DELETE /OS-FEDERATION/identity_providers/{idp_id}`."""
    async with change(call) as tx:
        await providers.provider_delete(tx, _id(call))
    return Reply(None, 204)


def _id(call: Call) -> str:
    return path_id(call, "idp_id", "Identity Provider")


def _shown(call: Call, row: Any, status: int = 200) -> Reply:
    return Reply({"identity_provider": providers.provider_view(row, call.base + "/v3")}, status)


def _route(method: str, path: str, handler: Any, rule: str, body: str = NO_BODY) -> Route:
    return Route(method=method, path=PATH + path, handler=handler, policy=f"identity:{rule}", body=body)


ROUTES = [
    _route("GET", "", list_providers, "list_identity_providers"),
    _route("GET", "/{idp_id}", show_provider, "get_identity_provider"),
    _route("PUT", "/{idp_id}", create_provider, "create_identity_provider", "identity/identity-provider-create"),
    _route("PATCH", "/{idp_id}", update_provider, "update_identity_provider", "identity/identity-provider-update"),
    _route("DELETE", "/{idp_id}", delete_provider, "delete_identity_provider"),
]

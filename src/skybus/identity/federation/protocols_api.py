"""Protocols of identity providers: routes."""

from __future__ import annotations

from typing import Any

from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.identity.federation import protocols
from skybus.identity.federation.identity_providers import provider_get
from skybus.identity.rows import body_of, change, path_id, whole

PATH = "/v3/OS-FEDERATION/identity_providers/{idp_id}/protocols"


async def list_protocols(call: Call) -> Reply:
    """`GET /OS-FEDERATION/identity_providers/{idp_id}/protocols`."""
    provider = await provider_get(call.store, path_id(call, "idp_id", "Identity Provider"))
    rows = await protocols.protocol_list(call.store, provider["id"])
    return whole(call, "protocols", [protocols.protocol_view(row, call.base + "/v3") for row in rows])


async def show_protocol(call: Call) -> Reply:
    """`GET /OS-FEDERATION/identity_providers/{idp_id}/protocols/{protocol_id}`."""
    return _shown(call, await protocols.protocol_get(call.store, *_ids(call)))


async def create_protocol(call: Call) -> Reply:
    """`PUT /OS-FEDERATION/identity_providers/{idp_id}/protocols/{protocol_id}`."""
    async with change(call) as tx:
        row = await protocols.protocol_insert(tx, *_ids(call), body_of(call, "protocol"))
    return _shown(call, row, 201)


async def update_protocol(call: Call) -> Reply:
    """`PATCH /OS-FEDERATION/identity_providers/{idp_id}/protocols/{protocol_id}`."""
    async with change(call) as tx:
        row = await protocols.protocol_update(tx, *_ids(call), body_of(call, "protocol"))
    return _shown(call, row)


async def delete_protocol(call: Call) -> Reply:
    """`DELETE /OS-FEDERATION/identity_providers/{idp_id}/protocols/{protocol_id}`."""
    async with change(call) as tx:
        await protocols.protocol_delete(tx, *_ids(call))
    return Reply(None, 204)


def _ids(call: Call) -> tuple[str, str]:
    return path_id(call, "idp_id", "Identity Provider"), path_id(call, "protocol_id", "federated protocol")


def _shown(call: Call, row: Any, status: int = 200) -> Reply:
    return Reply({"protocol": protocols.protocol_view(row, call.base + "/v3")}, status)


def _route(method: str, path: str, handler: Any, rule: str, body: str = NO_BODY) -> Route:
    return Route(method=method, path=PATH + path, handler=handler, policy=f"identity:{rule}", body=body)


ROUTES = [
    _route("GET", "", list_protocols, "list_protocols"),
    _route("GET", "/{protocol_id}", show_protocol, "get_protocol"),
    _route("PUT", "/{protocol_id}", create_protocol, "create_protocol", "identity/protocol-create"),
    _route("PATCH", "/{protocol_id}", update_protocol, "update_protocol", "identity/protocol-update"),
    _route("DELETE", "/{protocol_id}", delete_protocol, "delete_protocol"),
]

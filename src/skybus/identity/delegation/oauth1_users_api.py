"""OAuth access tokens as their user sees them: routes."""

from __future__ import annotations

from typing import Any

from skybus.errors import Forbidden
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity.delegation import oauth1_access_tokens as access_tokens
from skybus.identity.roles.roles import role_view
from skybus.identity.rows import change, listing, missing, path_id, whole


def _user_id(call: Call) -> str:
    """The user in the path. Raises Forbidden for tokens of delegations: what a user gave away is not theirs to see or
    to take back."""
    if call.service("tokens").claims(call.caller.token).delegation is not None:
        raise Forbidden("Cannot manage OAuth access tokens with a token that was made by a delegation.")
    return path_id(call, "user_id", "user")


async def _found(call: Call) -> Any:
    user_id = _user_id(call)
    return await access_tokens.access_token_get(call.store, user_id, path_id(call, "access_token_id", "access_token"))


async def list_access_tokens(call: Call) -> Reply:
    """`GET /users/{user_id}/OS-OAUTH1/access_tokens`."""
    where = Where()
    where.add("t.user_id = {}", _user_id(call))
    return await listing(call, "access_tokens", access_tokens.LIST, where, access_tokens.access_token_view, "t.id")


async def show_access_token(call: Call) -> Reply:
    """`GET /users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}`."""
    return Reply({"access_token": access_tokens.access_token_view(await _found(call), call.base + "/v3")})


async def delete_access_token(call: Call) -> Reply:
    """`DELETE /users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}`."""
    user_id = _user_id(call)
    async with change(call) as tx:
        await access_tokens.access_token_delete(tx, user_id, path_id(call, "access_token_id", "access_token"))
    return Reply(None, 204)


async def list_roles(call: Call) -> Reply:
    """`GET /users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}/roles`."""
    row = await _found(call)
    return whole(call, "roles", [role_view(role, call.base + "/v3") for role in row["roles"]])


async def show_role(call: Call) -> Reply:
    """`GET /users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}/roles/{role_id}`."""
    row = await _found(call)
    role_id = path_id(call, "role_id", "role")
    for role in row["roles"]:
        if role["id"] == role_id:
            return Reply({"role": role_view(role, call.base + "/v3")})
    raise missing("role", role_id)


def _route(method: str, path: str, handler: Any, rule: str) -> Route:
    where = "/v3/users/{user_id}/OS-OAUTH1/access_tokens" + path
    return Route(method=method, path=where, handler=handler, policy=f"identity:{rule}", body=NO_BODY)


ROUTES = [
    _route("GET", "", list_access_tokens, "list_access_tokens"),
    _route("GET", "/{access_token_id}", show_access_token, "get_access_token"),
    _route("DELETE", "/{access_token_id}", delete_access_token, "delete_access_token"),
    _route("GET", "/{access_token_id}/roles", list_roles, "list_access_token_roles"),
    _route("GET", "/{access_token_id}/roles/{role_id}", show_role, "get_access_token_role"),
]

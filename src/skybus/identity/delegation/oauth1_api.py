"""OAuth 1.0a: routes for consumers, and the steps by which one comes to an access token."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from skybus.errors import BadRequest, Forbidden, Unauthorized
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, PUBLIC, Route
from skybus.http.times import micros_z
from skybus.identity.auth.tokens import NO_ENTRY
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.identity.delegation import oauth1_access_tokens as access_tokens
from skybus.identity.delegation import oauth1_consumers as consumers
from skybus.identity.delegation import oauth1_request_tokens as request_tokens
from skybus.identity.delegation.oauth1_signatures import Signed, nonce_use, request_shown, signature_check, signed_of
from skybus.identity.projects.projects import project_find
from skybus.identity.roles.assignments import effective_roles
from skybus.identity.rows import body_of, change, listing, missing, path_id

FORM = "application/x-www-form-urlencoded"


def keys_of(call: Call) -> CredentialKeys:
    """What secrets are encrypted with."""
    keys: CredentialKeys = call.service("identity").login.credential_keys
    return keys


async def list_consumers(call: Call) -> Reply:
    """`GET /OS-OAUTH1/consumers`."""
    return await listing(call, "consumers", consumers.LIST, Where(), consumers.consumer_view, "c.id")


async def create_consumer(call: Call) -> Reply:
    """`POST /OS-OAUTH1/consumers`: the one answer that has the secret."""
    async with change(call) as tx:
        row, secret = await consumers.consumer_insert(tx, keys_of(call), body_of(call, "consumer"))
    return Reply({"consumer": {**consumers.consumer_view(row, call.base + "/v3"), "secret": secret}}, 201)


async def show_consumer(call: Call) -> Reply:
    """`GET /OS-OAUTH1/consumers/{consumer_id}`."""
    row = await consumers.consumer_get(call.store, _consumer_id(call))
    return Reply({"consumer": consumers.consumer_view(row, call.base + "/v3")})


async def update_consumer(call: Call) -> Reply:
    """`PATCH /OS-OAUTH1/consumers/{consumer_id}`."""
    asked = body_of(call, "consumer")
    if asked.get("id", call.args["consumer_id"]) != call.args["consumer_id"]:
        raise BadRequest("Cannot change consumer ID.")
    async with change(call) as tx:
        row = await consumers.consumer_update(tx, _consumer_id(call), asked)
    return Reply({"consumer": consumers.consumer_view(row, call.base + "/v3")})


async def delete_consumer(call: Call) -> Reply:
    """`DELETE /OS-OAUTH1/consumers/{consumer_id}`."""
    async with change(call) as tx:
        await consumers.consumer_delete(tx, _consumer_id(call))
    return Reply(None, 204)


def _consumer_id(call: Call) -> str:
    return path_id(call, "consumer_id", "consumer")


async def create_request_token(call: Call) -> Reply:
    """`POST /OS-OAUTH1/request_token`, signed by a consumer: it asks for a part of somebody's roles on a project."""
    signed = signed_of(request_shown(call))
    project_id = call.headers.get("Requested-Project-Id", "")
    if not project_id or len(project_id) > 64 or not project_id.isprintable():
        raise BadRequest("Expecting to find Requested-Project-Id in the headers.")
    if signed.token_id:
        raise BadRequest("A request for a request token is signed by the consumer alone.")
    signature_check(signed, await consumers.consumer_secret(call.store, keys_of(call), signed.consumer_id), None)
    async with change(call) as tx:
        await nonce_use(tx, signed)
        project = await project_find(tx, project_id)
        if project is None or project["is_domain"]:
            raise missing("project", project_id)
        row, secret = await request_tokens.request_token_insert(tx, keys_of(call), signed.consumer_id, project_id)
    return _form(row, secret)


async def authorize_request_token(call: Call) -> Reply:
    """`PUT /OS-OAUTH1/authorize/{request_token_id}`: the user's yes, for some of its roles on the project."""
    token_id = path_id(call, "request_token_id", "request_token")
    if call.service("tokens").claims(call.caller.token).delegation is not None:
        raise Forbidden("Cannot authorize a request token with a token that was made by a delegation.")
    asked: Any = body_of(call, "roles")
    async with change(call) as tx:
        row = await request_tokens.request_token_find(tx, token_id)
        if row is None:
            raise missing("request_token", token_id)
        have = {role["id"]: role["name"] for role in await effective_roles(tx, call.caller.user_id, row["project_id"])}
        chosen = []
        for role in asked:
            found = [key for key, name in have.items() if role.get("id", key) == key and role.get("name", name) == name]
            if not found:
                raise Unauthorized("The authorizing user does not have the required role.")
            chosen += found
        roles = list(dict.fromkeys(chosen))
        verifier = await request_tokens.request_token_authorize(tx, token_id, call.caller.user_id, roles)
    return Reply({"token": {"oauth_verifier": verifier}})


async def create_access_token(call: Call) -> Reply:
    """`POST /OS-OAUTH1/access_token`, signed by a consumer, with the verifier: it fetches what was authorized, once."""
    signed = signed_of(request_shown(call))
    if not signed.token_id or not signed.verifier or len(signed.verifier) > 64:
        raise BadRequest("Expecting to find oauth_token and oauth_verifier in the Authorization header.")
    await _check_request_token(call, signed)
    async with change(call) as tx:
        await nonce_use(tx, signed)
        taken = await request_tokens.request_token_take(tx, signed.token_id, signed.consumer_id, signed.verifier)
        if taken is None:
            raise Unauthorized(NO_ENTRY)
        row, secret = await access_tokens.access_token_insert(tx, keys_of(call), taken)
    return _form(row, secret)


async def _check_request_token(call: Call, signed: Signed) -> None:
    """Raises Unauthorized unless the consumer signed with its own secret and that of a request token of its own."""
    keys = keys_of(call)
    row = await request_tokens.request_token_find(call.store, signed.token_id)
    if row is not None and row["consumer_id"] != signed.consumer_id:
        row = None
    secret = None if row is None else keys.open(row["id"], row["key_number"], row["sealed"])
    signature_check(signed, await consumers.consumer_secret(call.store, keys, signed.consumer_id), secret)


def _form(row: Any, secret: str) -> Reply:
    said = {
        "oauth_token": row["id"],
        "oauth_token_secret": secret,
        "oauth_expires_at": micros_z(row["expires_at"]) or "",
    }
    return Reply(urlencode(said, safe=":").encode(), 201, content_type=FORM)


def _route(method: str, path: str, handler: Any, rule: str, body: str = NO_BODY) -> Route:
    return Route(method=method, path="/v3/OS-OAUTH1" + path, handler=handler, policy=rule, body=body)


ONE = "/consumers/{consumer_id}"
ROUTES = [
    _route("GET", "/consumers", list_consumers, "identity:list_consumers"),
    _route("POST", "/consumers", create_consumer, "identity:create_consumer", "identity/consumer-create"),
    _route("GET", ONE, show_consumer, "identity:get_consumer"),
    _route(
        "PATCH", "/consumers/{consumer_id}", update_consumer, "identity:update_consumer", "identity/consumer-update"
    ),
    _route("DELETE", ONE, delete_consumer, "identity:delete_consumer"),
    _route("POST", "/request_token", create_request_token, PUBLIC),
    _route(
        "PUT",
        "/authorize/{request_token_id}",
        authorize_request_token,
        "identity:authorize_request_token",
        "identity/request-token-authorize",
    ),
    _route("POST", "/access_token", create_access_token, PUBLIC),
]

"""Application credentials: routes."""

from __future__ import annotations

from typing import Any

from skybus import clock
from skybus.errors import BadRequest
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.http.times import parse
from skybus.identity.delegation import application_credentials as credentials
from skybus.identity.delegation.delegation_lookup import refuse_delegates, refuse_handed_on
from skybus.identity.roles.assignments import effective_roles
from skybus.identity.rows import body_of, change, listing, path_id, text_filter


def _user_id(call: Call, rule: str) -> str:
    """The user in the path, if the caller may. Raises Forbidden."""
    user_id = path_id(call, "user_id", "user")
    call.require(f"identity:{rule}", **{"target.user.id": user_id})
    refuse_handed_on(call)
    return user_id


async def list_credentials(call: Call) -> Reply:
    """`GET /users/{user_id}/application_credentials`."""
    where = Where()
    where.add("c.user_id = {}", _user_id(call, "list_application_credentials"))
    text_filter(call, where, "name", "c.name")
    return await listing(
        call, "application_credentials", credentials.SELECT, where, credentials.credential_view, "c.id"
    )


async def create_credential(call: Call) -> Reply:
    """`POST /users/{user_id}/application_credentials`."""
    user_id = _user_id(call, "create_application_credential")
    project_id = call.project_id
    await refuse_delegates(call, ruled_too=True)
    asked = body_of(call, "application_credential")
    if asked.get("expires_at") and parse(asked["expires_at"], "expires_at") <= clock.now():
        raise BadRequest("The expiry of an application credential must lie in the future.")
    secret, hashed = await credentials.secret_hash(call.service("identity").passwords, asked.get("secret"))
    role_ids = await _role_ids(call, asked.get("roles"), user_id, project_id)
    async with change(call) as tx:
        row = await credentials.credential_insert(
            tx, asked, user_id=user_id, project_id=project_id, role_ids=role_ids, hashed=hashed
        )
    body = {**credentials.credential_view(row, call.base + "/v3"), "secret": secret}
    return Reply({"application_credential": body}, 201)


async def _role_ids(call: Call, asked: list[dict[str, str]] | None, user_id: str, project_id: str) -> list[str]:
    """The roles of a new credential: those asked for, or all that the user has. Raises BadRequest for a role that the
    user does not have, or that was not delegated to a caller who came by a delegation."""
    rows = await effective_roles(call.store, user_id, project_id)
    # Users themselves may pass on what they were given since they logged in.
    delegated = call.service("tokens").claims(call.caller.token).delegation is not None
    have = {row["id"]: row["name"] for row in rows if not delegated or row["name"] in call.caller.roles}
    if not asked:
        return list(have)
    chosen = []
    for role in asked:
        found = [key for key, name in have.items() if role.get("id", key) == key and role.get("name", name) == name]
        if "id" not in role and "name" not in role:
            raise BadRequest("A role is named by its id or its name.")
        if not found:
            raise BadRequest("Invalid application credential: the user has not all of the requested roles.")
        chosen += found
    return list(dict.fromkeys(chosen))


async def show_credential(call: Call) -> Reply:
    """`GET /users/{user_id}/application_credentials/{credential_id}`."""
    user_id = _user_id(call, "get_application_credential")
    row = await credentials.credential_get(call.store, user_id, _credential_id(call))
    return Reply({"application_credential": credentials.credential_view(row, call.base + "/v3")})


async def delete_credential(call: Call) -> Reply:
    """`DELETE /users/{user_id}/application_credentials/{credential_id}`."""
    user_id = _user_id(call, "delete_application_credential")
    await refuse_delegates(call)
    async with change(call) as tx:
        await credentials.credential_delete(tx, user_id, _credential_id(call))
    return Reply(None, 204)


def _credential_id(call: Call) -> str:
    return path_id(call, "credential_id", "application_credential")


def _own(method: str, path: str, handler: Any, body: str = NO_BODY) -> Route:
    """A route whose handler asks for the rule, because the rule looks at the user."""
    where = "/v3/users/{user_id}/application_credentials" + path
    return Route(method=method, path=where, handler=handler, policy="identity:any_caller", body=body)


ROUTES = [
    _own("GET", "", list_credentials),
    _own("POST", "", create_credential, "identity/application-credential-create"),
    _own("GET", "/{credential_id}", show_credential),
    _own("DELETE", "/{credential_id}", delete_credential),
]

"""Users: routes."""

from __future__ import annotations

from typing import Any

from skybus.errors import Unauthorized
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, PUBLIC, Route
from skybus.identity import users
from skybus.identity.assignments import projects_of
from skybus.identity.groups import LIST as GROUP_LIST
from skybus.identity.groups import group_view
from skybus.identity.projects import DEFAULT_DOMAIN, project_view
from skybus.identity.rows import body_of, change, flag_filter, listing, missing, path_id, query_text, text_filter, whole
from skybus.identity.tokens import NO_ENTRY


def user_target(user: Any | None) -> dict[str, Any]:
    """What policy rules may compare of a user."""
    if user is None:
        return {"target.user.id": None}
    return {"target.user.id": user["id"], "target.user.domain_id": user["domain_id"]}


async def permitted_user(call: Call, rule: str) -> Any:
    """The user in the path, if the caller may do `rule` to it. Raises Forbidden or NotFound, in this order, so that
    whoever may not look learns nothing."""
    user_id = path_id(call, "user_id", "user")
    user = await users.user_find(call.store, user_id)
    call.require(rule, **user_target(user))
    if user is None:
        raise missing("user", user_id)
    return user


def domain_of_list(call: Call) -> str | None:
    """The one domain that a list is about: the caller's, when its token is scoped to one, or the one asked for."""
    return call.caller.domain_id or call.query.get("domain_id")


async def list_users(call: Call) -> Reply:
    """`GET /users`."""
    call.require("identity:list_users", **{"target.domain_id": domain_of_list(call)})
    where = Where()
    if call.caller.domain_id is not None:
        where.add("u.domain_id = {}", call.caller.domain_id)
    if "domain_id" in call.query:
        where.add("u.domain_id = {}", query_text(call, "domain_id"))
    text_filter(call, where, "name", "u.name")
    flag_filter(call, where, "enabled", "u.enabled")
    return await listing(call, "users", users.LIST, where, users.user_view, "u.id")


async def create_user(call: Call) -> Reply:
    """`POST /users`."""
    asked = body_of(call, "user")
    domain_id = asked.get("domain_id") or call.caller.domain_id or call.caller.project_domain_id or DEFAULT_DOMAIN
    call.require("identity:create_user", **{"target.user.domain_id": domain_id})
    hashed = await _hashed(call, asked)
    async with change(call) as tx:
        row = await users.user_insert(tx, asked, domain_id, hashed)
    return Reply({"user": users.user_view(row, call.base + "/v3")}, 201)


async def _hashed(call: Call, asked: dict[str, Any]) -> str | None:
    password = asked.get("password")
    return None if password is None else str(await call.service("identity").passwords.hash(password))


async def show_user(call: Call) -> Reply:
    """`GET /users/{user_id}`."""
    user = await permitted_user(call, "identity:get_user")
    return Reply({"user": users.user_view(user, call.base + "/v3")})


async def update_user(call: Call) -> Reply:
    """`PATCH /users/{user_id}`."""
    user = await permitted_user(call, "identity:update_user")
    asked = body_of(call, "user")
    hashed = await _hashed(call, asked)
    async with change(call) as tx:
        row = await users.user_update(tx, user["id"], asked, hashed, call.caller.user_id)
    return Reply({"user": users.user_view(row, call.base + "/v3")})


async def delete_user(call: Call) -> Reply:
    """`DELETE /users/{user_id}`."""
    user = await permitted_user(call, "identity:delete_user")
    async with change(call) as tx:
        await users.user_delete(tx, user["id"])
    return Reply(None, 204)


async def change_password(call: Call) -> Reply:
    """`POST /users/{user_id}/password`: whoever knows the old password sets the new one; no token is needed."""
    asked = body_of(call, "user")
    user_id = path_id(call, "user_id", "user")
    passwords = call.service("identity").passwords
    user = await call.store.fetchrow(users.LOGIN_BY_ID, user_id)
    right = await passwords.check(asked["original_password"], user["hash"] if user is not None else None)
    if user is None or not right or not user["enabled"] or not user["domain_enabled"]:
        raise Unauthorized(NO_ENTRY)
    hashed = await passwords.hash(asked["password"])
    async with change(call) as tx:
        now = await tx.fetchrow(users.LOGIN_BY_ID + " FOR UPDATE OF u", user_id)
        if now is None or now["hash"] != user["hash"]:
            raise Unauthorized(NO_ENTRY)
        await users.password_set(tx, user_id, hashed, user_id)
    return Reply(None, 204)


async def list_user_projects(call: Call) -> Reply:
    """`GET /users/{user_id}/projects`."""
    user = await permitted_user(call, "identity:list_user_projects")
    rows = await projects_of(call.store, user["id"], disabled_too=True)
    return whole(call, "projects", [project_view(row, call.base + "/v3") for row in rows])


async def list_user_groups(call: Call) -> Reply:
    """`GET /users/{user_id}/groups`."""
    user = await permitted_user(call, "identity:list_groups_for_user")
    where = Where()
    where.add("g.id IN (SELECT group_id FROM identity.belonging WHERE user_id = {})", user["id"])
    text_filter(call, where, "name", "g.name")

    def view(row: Any, base: str) -> dict[str, Any]:
        return {**group_view(row, base), "membership_expires_at": None}

    return await listing(call, "groups", GROUP_LIST, where, view, "g.id")


def _own(method: str, path: str, handler: Any, body: str = NO_BODY) -> Route:
    """A route whose handler asks for the rule, because the rule looks at the user."""
    return Route(method=method, path=path, handler=handler, policy="identity:any_caller", body=body)


ROUTES = [
    _own("GET", "/v3/users", list_users),
    _own("POST", "/v3/users", create_user, "identity/user-create"),
    _own("GET", "/v3/users/{user_id}", show_user),
    _own("PATCH", "/v3/users/{user_id}", update_user, "identity/user-update"),
    _own("DELETE", "/v3/users/{user_id}", delete_user),
    Route(
        method="POST",
        path="/v3/users/{user_id}/password",
        handler=change_password,
        policy=PUBLIC,
        body="identity/user-password",
    ),
    _own("GET", "/v3/users/{user_id}/projects", list_user_projects),
    _own("GET", "/v3/users/{user_id}/groups", list_user_groups),
]

"""Users: routes."""

from __future__ import annotations

from functools import partial
from typing import Any

from skybus import clock
from skybus.errors import BadRequest, Unauthorized
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, PUBLIC, Route
from skybus.http.times import parse
from skybus.identity.auth.tokens import NO_ENTRY
from skybus.identity.federation.federation_links import (
    links_filter,
    links_permit,
    links_set,
    links_view,
    membership_expiries,
)
from skybus.identity.login.password_rows import password_history, password_set
from skybus.identity.login.password_rules import expiry_of_new, refuse_own_change, refuse_weak
from skybus.identity.people import users
from skybus.identity.people.groups import LIST as GROUP_LIST
from skybus.identity.people.groups import group_view
from skybus.identity.projects.projects import DEFAULT_DOMAIN, project_view
from skybus.identity.roles.assignments import projects_of
from skybus.identity.rows import body_of, change, flag_filter, listing, missing, path_id, query_text, text_filter, whole


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
    await call.service("identity").ldap.listed_users(domain_of_list(call), call.query, where)
    links_filter(call, where)
    text_filter(call, where, "name", "u.name")
    flag_filter(call, where, "enabled", "u.enabled")
    expiry_filter(call, where)
    return await listing(call, "users", users.LIST, where, view_for(call), "u.id")


_OPERATORS = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "eq": "=", "neq": "<>"}


def expiry_filter(call: Call, where: Where) -> None:
    """`password_expires_at=gt:2026-01-31T12:00:00Z`; without an operator, the very moment. Raises BadRequest."""
    if "password_expires_at" not in call.query:
        return
    text = query_text(call, "password_expires_at")
    operator, colon, moment = text.partition(":")
    if not operator.isalpha() or not colon:
        operator, moment = "eq", text
    if operator not in _OPERATORS:
        raise BadRequest(f"The given operator {operator[:16]} is not valid. It must be one of {', '.join(_OPERATORS)}.")
    where.add(f"w.expires_at {_OPERATORS[operator]} {{}}", parse(moment, "password_expires_at"))


def view_for(call: Call) -> Any:
    """How users are shown under this gateway's settings."""
    return partial(users.user_view, rules=call.service("identity").compliance)


def _shown(call: Call, row: Any, status: int = 200) -> Reply:
    return Reply({"user": view_for(call)(row, call.base + "/v3")}, status)


async def create_user(call: Call) -> Reply:
    """`POST /users`."""
    asked = body_of(call, "user")
    domain_id = asked.get("domain_id") or call.caller.domain_id or call.caller.project_domain_id or DEFAULT_DOMAIN
    call.require("identity:create_user", **{"target.user.domain_id": domain_id})
    await call.service("identity").ldap.refuse_write(domain_id)
    hashed = await _hashed(call, asked)
    async with change(call) as tx:
        row = await users.user_insert(tx, asked, domain_id, hashed, call.service("identity").compliance)
        if asked.get("federated"):
            await links_permit(call, domain_id, asked["federated"])
            await links_set(tx, row["id"], asked["federated"])
    return _shown(call, row, 201)


async def _hashed(call: Call, asked: dict[str, Any]) -> str | None:
    password = asked.get("password")
    if password is None:
        return None
    identity = call.service("identity")
    refuse_weak(identity.compliance, password)
    return str(await identity.passwords.hash(password))


async def show_user(call: Call) -> Reply:
    """`GET /users/{user_id}`."""
    user = await permitted_user(call, "identity:get_user")
    user = await call.service("identity").ldap.current_user(user)
    links = await links_view(call.store, user["id"])
    shown = view_for(call)(user, call.base + "/v3")
    return Reply({"user": {**shown, "federated": links} if links else shown})


async def update_user(call: Call) -> Reply:
    """`PATCH /users/{user_id}`."""
    user = await permitted_user(call, "identity:update_user")
    await call.service("identity").ldap.refuse_write(user["domain_id"])
    asked = body_of(call, "user")
    hashed = await _hashed(call, asked)
    rules = call.service("identity").compliance
    async with change(call) as tx:
        row = await users.user_update(tx, user["id"], asked, hashed, call.caller.user_id, rules)
        if "federated" in asked:
            await links_permit(call, row["domain_id"], asked["federated"])
            await links_set(tx, row["id"], asked["federated"])
    return _shown(call, row)


async def delete_user(call: Call) -> Reply:
    """`DELETE /users/{user_id}`."""
    user = await permitted_user(call, "identity:delete_user")
    await call.service("identity").ldap.refuse_write(user["domain_id"])
    async with change(call) as tx:
        await users.user_delete(tx, user["id"])
    return Reply(None, 204)


async def change_password(call: Call) -> Reply:
    """`POST /users/{user_id}/password`: whoever knows the old password sets the new one; no token is needed, and an
    old password that has expired is good for this."""
    asked = body_of(call, "user")
    identity = call.service("identity")
    rules, passwords = identity.compliance, identity.passwords
    row = await call.store.fetchrow(users.LOGIN_BY_ID, path_id(call, "user_id", "user"))
    user = await identity.login.check_password(row, asked["original_password"])
    refuse_weak(rules, asked["password"])
    refuse_own_change(rules, user, clock.now())
    for old in await password_history(call.store, user["id"], rules.unique_last_password_count):
        if await passwords.check(asked["password"], old):
            raise BadRequest(
                "The new password cannot be identical to a previous password. The total number which includes the new "
                f"password must be unique is {rules.unique_last_password_count}."
            )
    hashed = await passwords.hash(asked["password"])
    async with change(call) as tx:
        now = await tx.fetchrow(users.LOGIN_BY_ID + " FOR UPDATE OF u", user["id"])
        if now is None or now["hash"] != user["hash"]:
            raise Unauthorized(NO_ENTRY)
        ends = expiry_of_new(rules, now["options"], clock.now(), self_service=True)
        await password_set(tx, user["id"], hashed, user["id"], rules, ends, self_service=True)
    return Reply(None, 204)


async def list_user_projects(call: Call) -> Reply:
    """`GET /users/{user_id}/projects`."""
    user = await permitted_user(call, "identity:list_user_projects")
    rows = await projects_of(call.store, user["id"], disabled_too=True)
    return whole(call, "projects", [project_view(row, call.base + "/v3") for row in rows])


async def list_user_groups(call: Call) -> Reply:
    """`GET /users/{user_id}/groups`."""
    user = await permitted_user(call, "identity:list_groups_for_user")
    await call.service("identity").ldap.current_groups(user)
    ends = await membership_expiries(call.store, user["id"])
    where = Where()
    where.add("g.id IN (SELECT group_id FROM identity.belonging WHERE user_id = {})", user["id"])
    text_filter(call, where, "name", "g.name")

    def view(row: Any, base: str) -> dict[str, Any]:
        return {**group_view(row, base), "membership_expires_at": ends.get(row["id"])}

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

"""Groups and their members: routes."""

from __future__ import annotations

from typing import Any

from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity.people import groups, users
from skybus.identity.people.users_api import domain_of_list, expiry_filter, user_target, view_for
from skybus.identity.projects.projects import DEFAULT_DOMAIN
from skybus.identity.rows import body_of, change, flag_filter, listing, missing, path_id, query_text, text_filter


def group_target(group: Any | None) -> dict[str, Any]:
    """What policy rules may compare of a group."""
    if group is None:
        return {"target.group.id": None}
    return {"target.group.id": group["id"], "target.group.domain_id": group["domain_id"]}


async def permitted_group(call: Call, rule: str, **also: Any) -> Any:
    """The group in the path, if the caller may do `rule` to it. Raises Forbidden or NotFound, in this order."""
    group_id = path_id(call, "group_id", "group")
    group = await groups.group_find(call.store, group_id)
    call.require(rule, **group_target(group), **also)
    if group is None:
        raise missing("group", group_id)
    return group


async def _permitted_member(call: Call, rule: str) -> tuple[str, str]:
    user_id = path_id(call, "user_id", "user")
    user = await users.user_find(call.store, user_id)
    group = await permitted_group(call, rule, **user_target(user))
    if user is None:
        raise missing("user", user_id)
    return group["id"], user_id


async def list_groups(call: Call) -> Reply:
    """`GET /groups`."""
    call.require("identity:list_groups", **{"target.group.domain_id": domain_of_list(call)})
    where = Where()
    if call.caller.domain_id is not None:
        where.add("g.domain_id = {}", call.caller.domain_id)
    if "domain_id" in call.query:
        where.add("g.domain_id = {}", query_text(call, "domain_id"))
    await call.service("identity").ldap.listed_groups(domain_of_list(call), where)
    text_filter(call, where, "name", "g.name")
    return await listing(call, "groups", groups.LIST, where, groups.group_view, "g.id")


async def create_group(call: Call) -> Reply:
    """`POST /groups`."""
    asked = body_of(call, "group")
    domain_id = asked.get("domain_id") or call.caller.domain_id or call.caller.project_domain_id or DEFAULT_DOMAIN
    call.require("identity:create_group", **{"target.group.domain_id": domain_id})
    await call.service("identity").ldap.refuse_write(domain_id)
    async with change(call) as tx:
        row = await groups.group_insert(tx, asked, domain_id)
    return _shown(call, row, 201)


async def show_group(call: Call) -> Reply:
    """`GET /groups/{group_id}`."""
    group = await permitted_group(call, "identity:get_group")
    return _shown(call, await call.service("identity").ldap.current_group(group))


async def update_group(call: Call) -> Reply:
    """`PATCH /groups/{group_id}`."""
    group = await permitted_group(call, "identity:update_group")
    await call.service("identity").ldap.refuse_write(group["domain_id"])
    async with change(call) as tx:
        row = await groups.group_update(tx, group["id"], body_of(call, "group"))
    return _shown(call, row)


async def delete_group(call: Call) -> Reply:
    """`DELETE /groups/{group_id}`."""
    group = await permitted_group(call, "identity:delete_group")
    await call.service("identity").ldap.refuse_write(group["domain_id"])
    async with change(call) as tx:
        await groups.group_delete(tx, group["id"])
    return Reply(None, 204)


async def list_members(call: Call) -> Reply:
    """`GET /groups/{group_id}/users`."""
    group = await permitted_group(call, "identity:list_users_in_group")
    await call.service("identity").ldap.current_group(group, members=True)
    where = Where()
    where.add("u.id IN (SELECT user_id FROM identity.membership WHERE group_id = {})", group["id"])
    text_filter(call, where, "name", "u.name")
    flag_filter(call, where, "enabled", "u.enabled")
    expiry_filter(call, where)
    return await listing(call, "users", users.LIST, where, view_for(call), "u.id")


async def check_member(call: Call) -> Reply:
    """`GET` and `HEAD /groups/{group_id}/users/{user_id}`."""
    group_id, user_id = await _permitted_member(call, "identity:check_user_in_group")
    if not await groups.is_member(call.store, group_id, user_id):
        raise missing("user in group", user_id)
    return Reply(None, 204)


async def add_member(call: Call) -> Reply:
    """`PUT /groups/{group_id}/users/{user_id}`."""
    group_id, user_id = await _permitted_member(call, "identity:add_user_to_group")
    await call.service("identity").ldap.refuse_member(group_id, user_id)
    async with change(call) as tx:
        await groups.member_add(tx, group_id, user_id)
    return Reply(None, 204)


async def remove_member(call: Call) -> Reply:
    """`DELETE /groups/{group_id}/users/{user_id}`."""
    group_id, user_id = await _permitted_member(call, "identity:remove_user_from_group")
    await call.service("identity").ldap.refuse_member(group_id, user_id)
    async with change(call) as tx:
        await groups.member_remove(tx, group_id, user_id)
    return Reply(None, 204)


def _shown(call: Call, row: Any, status: int = 200) -> Reply:
    return Reply({"group": groups.group_view(row, call.base + "/v3")}, status)


def _own(method: str, path: str, handler: Any, body: str = NO_BODY) -> Route:
    """A route whose handler asks for the rule, because the rule looks at the group."""
    return Route(method=method, path="/v3/groups" + path, handler=handler, policy="identity:any_caller", body=body)


ROUTES = [
    _own("GET", "", list_groups),
    _own("POST", "", create_group, "identity/group-create"),
    _own("GET", "/{group_id}", show_group),
    _own("PATCH", "/{group_id}", update_group, "identity/group-update"),
    _own("DELETE", "/{group_id}", delete_group),
    _own("GET", "/{group_id}/users", list_members),
    _own("GET", "/{group_id}/users/{user_id}", check_member),
    _own("PUT", "/{group_id}/users/{user_id}", add_member),
    _own("DELETE", "/{group_id}/users/{user_id}", remove_member),
]

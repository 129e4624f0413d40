"""Access rules: routes. Rules are made with the application credentials that have them."""

from __future__ import annotations

from typing import Any

from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity.delegation import access_rules as rules
from skybus.identity.delegation.delegation_lookup import refuse_handed_on
from skybus.identity.rows import change, listing, path_id, text_filter


async def _user_id(call: Call, rule: str) -> str:
    """The user in the path, if the caller may. Raises Forbidden."""
    user_id = path_id(call, "user_id", "user")
    call.require(f"identity:{rule}", **{"target.user.id": user_id})
    refuse_handed_on(call)
    return user_id


async def list_access_rules(call: Call) -> Reply:
    """`GET /users/{user_id}/access_rules`."""
    where = Where()
    where.add("a.user_id = {}", await _user_id(call, "list_access_rules"))
    for name in ("service", "path", "method"):
        text_filter(call, where, name, f"a.{name}")
    return await listing(call, "access_rules", rules.LIST, where, rules.rule_view, "a.id")


async def show_access_rule(call: Call) -> Reply:
    """`GET /users/{user_id}/access_rules/{access_rule_id}`."""
    user_id = await _user_id(call, "get_access_rule")
    row = await rules.rule_get(call.store, user_id, path_id(call, "access_rule_id", "access_rule"))
    return Reply({"access_rule": rules.rule_view(row, call.base + "/v3")})


async def delete_access_rule(call: Call) -> Reply:
    """`DELETE /users/{user_id}/access_rules/{access_rule_id}`."""
    user_id = await _user_id(call, "delete_access_rule")
    async with change(call) as tx:
        await rules.rule_delete(tx, user_id, path_id(call, "access_rule_id", "access_rule"))
    return Reply(None, 204)


def _own(method: str, path: str, handler: Any) -> Route:
    """A route whose handler asks for the rule, because the rule looks at the user."""
    where = "/v3/users/{user_id}/access_rules" + path
    return Route(method=method, path=where, handler=handler, policy="identity:any_caller", body=NO_BODY)


ROUTES = [
    _own("GET", "", list_access_rules),
    _own("GET", "/{access_rule_id}", show_access_rule),
    _own("DELETE", "/{access_rule_id}", delete_access_rule),
]

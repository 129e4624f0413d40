"""Roles and the rules by which one implies another: routes."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity.roles import roles
from skybus.identity.rows import body_of, change, links_of, listing, missing, path_id, query_text, text_filter


def role_target(role: Any | None) -> dict[str, Any]:
    """What policy rules may compare of a role."""
    if role is None:
        return {"target.role.id": None}
    kind = "global" if role["domain_id"] is None else "domain"
    return {
        "target.role.id": role["id"],
        "target.role.name": role["name"] if kind == "global" else None,
        "target.role.domain_id": role["domain_id"],
        "target.role.kind": kind,
    }


async def _permitted_role(call: Call, verb: str) -> Any:
    """The role in the path, if the caller may do `verb` to it. Raises Forbidden or NotFound, in this order."""
    role_id = path_id(call, "role_id", "role")
    role = await call.store.fetchrow(roles.GET, role_id)
    noun = "role" if role is None or role["domain_id"] is None else "domain_role"
    call.require(f"identity:{verb}_{noun}", **role_target(role))
    if role is None:
        raise missing("role", role_id)
    return role


async def list_roles(call: Call) -> Reply:
    """`GET /roles`: those of the whole cloud or, by `domain_id`, of one domain."""
    where = Where()
    if "domain_id" in call.query:
        call.require("identity:list_domain_roles")
        where.add("r.domain_id = {}", query_text(call, "domain_id"))
    else:
        call.require("identity:list_roles")
        where.add("r.domain_id IS NULL")
    if not call.permits("identity:get_role"):
        where.add("r.name IN ('manager', 'member', 'reader')")
    text_filter(call, where, "name", "r.name")
    return await listing(call, "roles", roles.LIST, where, roles.role_view, "r.id")


async def create_role(call: Call) -> Reply:
    """`POST /roles`."""
    asked = body_of(call, "role")
    call.require("identity:create_domain_role" if asked.get("domain_id") is not None else "identity:create_role")
    async with change(call) as tx:
        row = await roles.role_insert(tx, asked)
    return _shown(call, row, 201)


async def show_role(call: Call) -> Reply:
    """`GET /roles/{role_id}`."""
    return _shown(call, await _permitted_role(call, "get"))


async def update_role(call: Call) -> Reply:
    """`PATCH /roles/{role_id}`."""
    role = await _permitted_role(call, "update")
    async with change(call) as tx:
        row = await roles.role_update(tx, role["id"], body_of(call, "role"))
    return _shown(call, row)


async def delete_role(call: Call) -> Reply:
    """`DELETE /roles/{role_id}`."""
    role = await _permitted_role(call, "delete")
    async with change(call) as tx:
        await roles.role_delete(tx, role["id"])
    return Reply(None, 204)


def _shown(call: Call, row: Any, status: int = 200) -> Reply:
    return Reply({"role": roles.role_view(row, call.base + "/v3")}, status)


# --- implied roles


def _brief(call: Call, identifier: str, name: str) -> dict[str, Any]:
    return {"id": identifier, "name": name, "links": {"self": f"{call.base}/v3/roles/{identifier}"}}


def _pair(call: Call) -> tuple[str, str]:
    return path_id(call, "role_id", "role"), path_id(call, "implied_id", "role")


async def _inference(call: Call, prior_id: str, implied_id: str) -> dict[str, Any]:
    prior = await roles.role_get(call.store, prior_id)
    implied = await roles.role_get(call.store, implied_id)
    return {
        "role_inference": {
            "prior_role": _brief(call, prior["id"], prior["name"]),
            "implies": _brief(call, implied["id"], implied["name"]),
        },
        "links": {"self": f"{call.base}/v3/roles/{prior_id}/implies/{implied_id}"},
    }


async def list_implied(call: Call) -> Reply:
    """`GET /roles/{role_id}/implies`."""
    prior = await roles.role_get(call.store, path_id(call, "role_id", "role"))
    rows = await roles.inferences(call.store, prior["id"])
    inference = {
        "prior_role": _brief(call, prior["id"], prior["name"]),
        "implies": [_brief(call, row["id"], row["name"]) for row in rows],
    }
    return Reply({"role_inference": inference, "links": links_of(call)})


async def show_implied(call: Call) -> Reply:
    """`GET /roles/{role_id}/implies/{implied_id}`; `HEAD` says only whether."""
    call.require(f"identity:{'check' if call.request.method == 'HEAD' else 'get'}_implied_role")
    prior_id, implied_id = _pair(call)
    if not await roles.implies(call.store, prior_id, implied_id):
        raise missing("implied role", f"{prior_id} {implied_id}")
    if call.request.method == "HEAD":
        return Reply(None, 204)
    return Reply(await _inference(call, prior_id, implied_id))


async def create_implied(call: Call) -> Reply:
    """`PUT /roles/{role_id}/implies/{implied_id}`."""
    prior_id, implied_id = _pair(call)
    if prior_id == implied_id:
        raise BadRequest("A role cannot imply itself.")
    async with change(call) as tx:
        await roles.implication_insert(tx, prior_id, implied_id)
    return Reply(await _inference(call, prior_id, implied_id), 201)


async def delete_implied(call: Call) -> Reply:
    """`DELETE /roles/{role_id}/implies/{implied_id}`."""
    async with change(call) as tx:
        await roles.implication_delete(tx, *_pair(call))
    return Reply(None, 204)


async def list_inferences(call: Call) -> Reply:
    """`GET /role_inferences`."""
    found: dict[str, dict[str, Any]] = {}
    for row in await roles.inferences(call.store):
        entry = found.setdefault(
            row["prior_id"], {"prior_role": _brief(call, row["prior_id"], row["prior_name"]), "implies": []}
        )
        entry["implies"].append(_brief(call, row["id"], row["name"]))
    return Reply({"role_inferences": list(found.values()), "links": links_of(call)})


def _route(method: str, path: str, handler: Any, rule: str, body: str = NO_BODY) -> Route:
    return Route(method=method, path="/v3" + path, handler=handler, policy=f"identity:{rule}", body=body)


ROUTES = [
    _route("GET", "/roles", list_roles, "any_caller"),
    _route("POST", "/roles", create_role, "any_caller", "identity/role-create"),
    _route("GET", "/roles/{role_id}", show_role, "any_caller"),
    _route("PATCH", "/roles/{role_id}", update_role, "any_caller", "identity/role-update"),
    _route("DELETE", "/roles/{role_id}", delete_role, "any_caller"),
    _route("GET", "/roles/{role_id}/implies", list_implied, "list_implied_roles"),
    _route("GET", "/roles/{role_id}/implies/{implied_id}", show_implied, "any_caller"),
    _route("PUT", "/roles/{role_id}/implies/{implied_id}", create_implied, "create_implied_role"),
    _route("DELETE", "/roles/{role_id}/implies/{implied_id}", delete_implied, "delete_implied_role"),
    _route("GET", "/role_inferences", list_inferences, "list_role_inference_rules"),
]

"""Limits of projects and domains, and the model by which they are read: routes."""

from __future__ import annotations

from typing import Any

from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity.limits import limits
from skybus.identity.limits.limit_models import LimitModel
from skybus.identity.rows import body_of, change, listing, missing, path_id, query_text, text_filter


def _model(call: Call) -> LimitModel:
    model: LimitModel = call.service("identity").limit_model
    return model


async def show_model(call: Call) -> Reply:
    """`GET /limits/model`."""
    model = _model(call)
    return Reply({"model": {"name": model.name, "description": model.description}})


async def list_limits(call: Call) -> Reply:
    """`GET /limits`: a domain's token shows those of the domain and its projects, a project's its own alone."""
    where = Where()
    _only_own(call, where)
    for name in ("service_id", "region_id", "resource_name"):
        text_filter(call, where, name, f"r.{name}")
    if "project_id" in call.query:
        where.add("l.target_id = {} AND NOT p.is_domain", query_text(call, "project_id"))
    if "domain_id" in call.query:
        where.add("l.target_id = {} AND p.is_domain", query_text(call, "domain_id"))
    return await listing(call, "limits", limits.LIST, where, limits.limit_view, "l.id")


def _only_own(call: Call, where: Where) -> None:
    caller = call.caller
    if caller.system or call.permits("service_or_admin"):
        return
    if caller.domain_id is not None:
        where.add("COALESCE(p.domain_id, p.id) = {}", caller.domain_id)
    else:
        # An unscoped token is in no project, and sees none's limits.
        where.add("l.target_id = {}", caller.project_id or "")


async def create_limits(call: Call) -> Reply:
    """`POST /limits`: all of them or none."""
    asked: Any = body_of(call, "limits")
    async with change(call) as tx:
        rows = await limits.limits_insert(tx, _model(call), asked)
    return Reply({"limits": [limits.limit_view(row, call.base + "/v3") for row in rows]}, 201)


async def show_limit(call: Call) -> Reply:
    """`GET /limits/{limit_id}`."""
    limit_id = path_id(call, "limit_id", "limit")
    row = await limits.limit_find(call.store, limit_id)
    call.require("identity:get_limit", **_of(row))
    if row is None:
        raise missing("limit", limit_id)
    return _shown(call, row)


def _of(row: Any | None) -> dict[str, Any]:
    """What policy rules may compare of a limit."""
    if row is None:
        return {"target.limit.project_id": None}
    if row["is_domain"]:
        return {"target.limit.domain.id": row["target_id"]}
    return {"target.limit.project_id": row["target_id"], "target.limit.project.domain_id": row["in_domain_id"]}


async def update_limit(call: Call) -> Reply:
    """`PATCH /limits/{limit_id}`."""
    asked = body_of(call, "limit")
    async with change(call) as tx:
        row = await limits.limit_update(tx, _model(call), path_id(call, "limit_id", "limit"), asked)
    return _shown(call, row)


async def delete_limit(call: Call) -> Reply:
    """`DELETE /limits/{limit_id}`."""
    async with change(call) as tx:
        await limits.limit_delete(tx, path_id(call, "limit_id", "limit"))
    return Reply(None, 204)


def _shown(call: Call, row: Any) -> Reply:
    return Reply({"limit": limits.limit_view(row, call.base + "/v3")})


def _route(method: str, path: str, handler: Any, rule: str, body: str = NO_BODY) -> Route:
    return Route(method=method, path="/v3/limits" + path, handler=handler, policy=f"identity:{rule}", body=body)


ROUTES = [
    _route("GET", "/model", show_model, "get_limit_model"),
    _route("GET", "", list_limits, "list_limits"),
    _route("POST", "", create_limits, "create_limits", "identity/limits-create"),
    _route("GET", "/{limit_id}", show_limit, "any_caller"),
    _route("PATCH", "/{limit_id}", update_limit, "update_limit", "identity/limit-update"),
    _route("DELETE", "/{limit_id}", delete_limit, "delete_limit"),
]

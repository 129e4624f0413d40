"""Domains: routes."""

from __future__ import annotations

from typing import Any

from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity.projects import domains, projects
from skybus.identity.rows import body_of, change, flag_filter, listing, missing, path_id, text_filter


async def list_domains(call: Call) -> Reply:
    """`GET /domains`."""
    call.require("identity:list_domains", **{"target.domain.id": call.caller.domain_id})
    where = Where()
    where.add("p.is_domain")
    if call.caller.domain_id is not None and not call.permits("admin_required"):
        where.add("p.id = {}", call.caller.domain_id)
    text_filter(call, where, "name", "p.name")
    flag_filter(call, where, "enabled", "p.enabled")
    return await listing(call, "domains", projects.LIST, where, projects.domain_view, "p.id")


async def create_domain(call: Call) -> Reply:
    """`POST /domains`."""
    async with change(call) as tx:
        asked = body_of(call, "domain")
        row = await projects.domain_insert(tx, asked, asked.get("explicit_domain_id"))
    return _shown(call, row, 201)


async def show_domain(call: Call) -> Reply:
    """`GET /domains/{domain_id}`."""
    domain_id = path_id(call, "domain_id", "domain")
    row = await projects.project_find(call.store, domain_id)
    call.require("identity:get_domain", **{"target.domain.id": domain_id})
    if row is None or not row["is_domain"]:
        raise missing("domain", domain_id)
    return _shown(call, row)


async def update_domain(call: Call) -> Reply:
    """`PATCH /domains/{domain_id}`."""
    domain_id = path_id(call, "domain_id", "domain")
    async with change(call) as tx:
        row = await projects.project_update(tx, domain_id, body_of(call, "domain"), is_domain=True)
    return _shown(call, row)


async def delete_domain(call: Call) -> Reply:
    """`DELETE /domains/{domain_id}`."""
    async with change(call) as tx:
        await domains.domain_delete(tx, path_id(call, "domain_id", "domain"))
    return Reply(None, 204)


def _shown(call: Call, row: Any, status: int = 200) -> Reply:
    return Reply({"domain": projects.domain_view(row, call.base + "/v3")}, status)


def _route(method: str, path: str, handler: Any, rule: str, body: str = NO_BODY) -> Route:
    return Route(method=method, path="/v3/domains" + path, handler=handler, policy=f"identity:{rule}", body=body)


ROUTES = [
    _route("GET", "", list_domains, "any_caller"),
    _route("POST", "", create_domain, "create_domain", "identity/domain-create"),
    _route("GET", "/{domain_id}", show_domain, "any_caller"),
    _route("PATCH", "/{domain_id}", update_domain, "update_domain", "identity/domain-update"),
    _route("DELETE", "/{domain_id}", delete_domain, "delete_domain"),
]

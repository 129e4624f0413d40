"""`GET /role_assignments`: who has which role where, by every filter: the route."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity.projects import projects
from skybus.identity.projects.projects_api import project_target
from skybus.identity.roles.assignment_list import (
    MOST,
    assignment_view,
    direct_assignments,
    effective_assignments,
    effective_where,
)
from skybus.identity.rows import flag, links_of, missing, query_text

SUBTREE = """a.target_id IN (
    WITH RECURSIVE below (id) AS (
        SELECT {}::text UNION SELECT p.id FROM identity.project p JOIN below b ON p.parent_id = b.id
    ) SELECT id FROM below)"""
INHERITED = "scope.OS-INHERIT:inherited_to"
SCOPES = ("scope.project.id", "scope.domain.id", "scope.system")


async def list_assignments(call: Call) -> Reply:
    """`GET /role_assignments`."""
    tree, effective, names = (_asked(call, name) for name in ("include_subtree", "effective", "include_names"))
    await _permit(call, tree)
    _refuse_contradictions(call, effective)
    where = effective_where(_given(call, "user.id"), await _domain_of(call)) if effective else Where()
    if call.caller.domain_id is not None:
        where.add("COALESCE(t.domain_id, t.id) = {}", call.caller.domain_id)
    _filter(call, where, effective=effective, tree=tree)
    rows = await (effective_assignments if effective else direct_assignments)(call.store, where)
    base = call.base + "/v3"
    shown = [assignment_view(row, base, names=names, effective=effective) for row in rows[:MOST]]
    body: dict[str, Any] = {"role_assignments": shown, "links": links_of(call)}
    if len(rows) > MOST:
        body["truncated"] = True
    return Reply(body)


def _asked(call: Call, name: str) -> bool:
    return name in call.query and flag(call.query[name] or "1")


def _given(call: Call, name: str) -> str | None:
    """A filter's value; an empty one is none."""
    return query_text(call, name) if call.query.get(name) else None


async def _permit(call: Call, tree: bool) -> None:
    """Raises Forbidden, BadRequest for a tree without its root, or NotFound for a root that is not there."""
    if not tree:
        call.require("identity:list_role_assignments", **{"target.domain_id": call.caller.domain_id})
        return
    root = _given(call, "scope.project.id")
    if root is None:
        raise BadRequest("scope.project.id must be specified if include_subtree is also specified.")
    project = await projects.project_find(call.store, root)
    call.require("identity:list_role_assignments_for_tree", **project_target(project))
    if project is None:
        raise missing("project", root)


async def _domain_of(call: Call) -> str | None:
    """The one domain that the answer can be about, or None."""
    project_id = _given(call, "scope.project.id")
    if call.caller.domain_id is not None or project_id is None:
        return call.caller.domain_id or _given(call, "scope.domain.id")
    project = await projects.project_find(call.store, project_id)
    return str(project["domain_id"]) if project is not None else ""


def _refuse_contradictions(call: Call, effective: bool) -> None:
    """Raises BadRequest for filters that together can match nothing, as the API has it."""
    if _given(call, "user.id") and _given(call, "group.id"):
        raise BadRequest("Specify a user or group, not both.")
    if sum(_given(call, name) is not None for name in SCOPES) > 1:
        raise BadRequest("Specify one of a project, a domain and the system.")
    if effective and _given(call, "group.id"):
        raise BadRequest("Combining effective and group filter will always result in an empty list.")
    if effective and _given(call, "scope.domain.id") and call.query.get(INHERITED) == "projects":
        raise BadRequest("Combining effective, domain and inherited filters will always result in an empty list.")


def _filter(call: Call, where: Where, *, effective: bool, tree: bool) -> None:
    for name, column in {"user.id": "a.user_id", "group.id": "a.group_id", "role.id": "a.role_id"}.items():
        if (value := _given(call, name)) is not None:
            where.add(f"{column} = {{}}", value)
    if (project_id := _given(call, "scope.project.id")) is not None:
        where.add(SUBTREE if tree else "a.target_id = {}", project_id)
        where.add("NOT t.is_domain")
    if (domain_id := _given(call, "scope.domain.id")) is not None:
        where.add("a.target_id = {} AND t.is_domain", domain_id)
    if _given(call, "scope.system") is not None:
        where.add("a.target_id IS NULL")
    if INHERITED in call.query:
        inherited = "a.inherited_from IS NOT NULL" if effective else "a.inherited"
        where.add(inherited if call.query[INHERITED] == "projects" else f"NOT ({inherited})")


ROUTES = [
    Route(
        method="GET",
        path="/v3/role_assignments",
        handler=list_assignments,
        policy="identity:any_caller",
        body=NO_BODY,
    )
]

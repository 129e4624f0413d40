"""Grants: a user's or group's roles on a project, a domain or the system, and the list of all of them: routes."""

from __future__ import annotations

from itertools import product
from typing import Any

from skybus.errors import BadRequest
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity import assignments, groups, projects, roles, users
from skybus.identity.assignment_list import assignment_view, assignments_find
from skybus.identity.assignments import Grant
from skybus.identity.claims import SYSTEM
from skybus.identity.groups_api import group_target
from skybus.identity.projects_api import project_target
from skybus.identity.roles_api import role_target
from skybus.identity.rows import change, flag, missing, path_id, query_text, whole
from skybus.identity.users_api import user_target


async def _rows(call: Call) -> dict[str, Any]:
    """What the path names, by noun, found or not; raises nothing that would tell more than policy allows."""
    found: dict[str, Any] = {}
    args = call.args
    if "user_id" in args:
        found["user"] = await users.user_find(call.store, path_id(call, "user_id", "user"))
    if "group_id" in args:
        found["group"] = await groups.group_find(call.store, path_id(call, "group_id", "group"))
    for noun in ("project", "domain"):
        if f"{noun}_id" in args:
            row = await projects.project_find(call.store, path_id(call, f"{noun}_id", noun))
            found[noun] = row if row is not None and row["is_domain"] == (noun == "domain") else None
    if "role_id" in args:
        found["role"] = await call.store.fetchrow(roles.GET, path_id(call, "role_id", "role"))
    return found


def _require(call: Call, verb: str, found: dict[str, Any]) -> None:
    """Raises Forbidden, and then NotFound for what is not there."""
    target: dict[str, Any] = {}
    if "user" in found:
        target.update(user_target(found["user"]))
    if "group" in found:
        target.update(group_target(found["group"]))
    if "project" in found:
        target.update(project_target(found["project"]))
    if found.get("domain") is not None:
        target["target.domain.id"] = found["domain"]["id"]
    if "role" in found:
        target.update(role_target(found["role"]))
    actor = "user" if "user" in found else "group"
    on_system = "project" not in found and "domain" not in found
    suffix = f"system_grant{'s' if verb == 'list' else ''}_for_{actor}"
    call.require(f"identity:{verb}_{suffix if on_system else 'grants' if verb == 'list' else 'grant'}", **target)
    for noun, row in found.items():
        if row is None:
            raise missing(noun, call.args[f"{noun}_id"])


def _grant(call: Call) -> Grant:
    args = call.args
    return Grant(
        role_id=args["role_id"],
        user_id=args.get("user_id"),
        group_id=args.get("group_id"),
        target_id=args.get("project_id") or args.get("domain_id"),
        inherited=call.route.path.startswith("/v3/OS-INHERIT"),
    )


async def list_grants(call: Call) -> Reply:
    """The roles that were given to one user or group on one target."""
    _require(call, "list", await _rows(call))
    args = call.args
    rows = await assignments.granted(
        call.store,
        user_id=args.get("user_id"),
        group_id=args.get("group_id"),
        target_id=args.get("project_id") or args.get("domain_id"),
        inherited=call.route.path.startswith("/v3/OS-INHERIT"),
    )
    return whole(call, "roles", [roles.role_view(row, call.base + "/v3") for row in rows])


async def check_grant(call: Call) -> Reply:
    """Whether a role was given."""
    _require(call, "check", await _rows(call))
    if not await assignments.grant_exists(call.store, _grant(call)):
        raise missing("role assignment with role", call.args["role_id"])
    return Reply(None, 204)


async def create_grant(call: Call) -> Reply:
    """Give a role."""
    found = await _rows(call)
    _require(call, "create", found)
    grant = _grant(call)
    async with change(call) as tx:
        await roles.role_hold(tx, grant.role_id)
        if grant.user_id is not None:
            await users.user_hold(tx, grant.user_id)
        elif await tx.fetchrow(groups.HOLD, grant.group_id) is None:
            raise missing("group", str(grant.group_id))
        if grant.target_id is not None and await tx.fetchrow(projects.HOLD, grant.target_id) is None:
            raise missing("project", grant.target_id)
        await assignments.grant_insert(tx, grant)
    return Reply(None, 204)


async def revoke_grant(call: Call) -> Reply:
    """Take a role away."""
    _require(call, "revoke", await _rows(call))
    async with change(call) as tx:
        await assignments.grant_delete(tx, _grant(call))
    return Reply(None, 204)


# --- GET /role_assignments


async def list_assignments(call: Call) -> Reply:
    """`GET /role_assignments`."""
    query = call.query
    project_id = query.get("scope.project.id")
    tree = "include_subtree" in query and flag(query["include_subtree"] or "1")
    where = Where()
    if tree:
        if project_id is None:
            raise BadRequest("scope.project.id must be specified if include_subtree is also specified.")
        project = await projects.project_find(call.store, query_text(call, "scope.project.id"))
        call.require("identity:list_role_assignments_for_tree", **project_target(project))
    else:
        call.require("identity:list_role_assignments", **{"target.domain_id": call.caller.domain_id})
        if call.caller.domain_id is not None and not call.permits("admin_required"):
            where.add("COALESCE(t.domain_id, t.id) = {}", call.caller.domain_id)
    effective = "effective" in query and flag(query["effective"] or "1")
    if effective:
        # A role of one domain stands in no token; only what it implies does.
        where.add("r.domain_id IS NULL")
    _assignment_filters(call, where, effective, tree)
    rows = await assignments_find(call.store, where, effective=effective)
    names = "include_names" in query and flag(query["include_names"] or "1")
    base = call.base + "/v3"
    return whole(
        call, "role_assignments", [assignment_view(row, base, names=names, effective=effective) for row in rows]
    )


SUBTREE = """a.target_id IN (
    WITH RECURSIVE below (id) AS (
        SELECT {}::text UNION SELECT p.id FROM identity.project p JOIN below b ON p.parent_id = b.id
    ) SELECT id FROM below)"""


def _assignment_filters(call: Call, where: Where, effective: bool, tree: bool) -> None:
    query = call.query
    if "user.id" in query and "group.id" in query:
        raise BadRequest("Specify a user or group, not both.")
    if sum(name in query for name in ("scope.project.id", "scope.domain.id", "scope.system")) > 1:
        raise BadRequest("Specify one of a project, a domain and the system.")
    if effective and "group.id" in query:
        raise BadRequest("Combining effective and group filter will always result in an empty list.")
    for name, column in {"user.id": "a.user_id", "group.id": "a.group_id", "role.id": "a.role_id"}.items():
        if name in query:
            where.add(f"{column} = {{}}", query_text(call, name))
    if "scope.project.id" in query:
        condition = SUBTREE if tree else "a.target_id = {}"
        where.add(condition, query_text(call, "scope.project.id"))
        where.add("NOT t.is_domain")
    if "scope.domain.id" in query:
        where.add("a.target_id = {} AND t.is_domain", query_text(call, "scope.domain.id"))
    if "scope.system" in query:
        where.add("a.target_id IS NULL")
    if "scope.OS-INHERIT:inherited_to" in query:
        if query["scope.OS-INHERIT:inherited_to"] != "projects":
            raise BadRequest("Roles can be inherited to projects only.")
        where.add("a.inherited_from IS NOT NULL" if effective else "a.inherited")


def _routes() -> list[Route]:
    made = []
    targets = {"/projects/{project_id}": True, "/domains/{domain_id}": True, f"/{SYSTEM}": False}
    actors = ("/users/{user_id}", "/groups/{group_id}")
    for (target, inheritable), actor in product(targets.items(), actors):
        made += _family(f"/v3{target}{actor}/roles", "")
        if inheritable:
            made += _family(f"/v3/OS-INHERIT{target}{actor}/roles", "/inherited_to_projects")
    return made


def _family(path: str, end: str) -> list[Route]:
    """List, check, give and take below one path. The handlers ask for the rule, which looks at both sides."""
    one = f"{path}/{{role_id}}{end}"
    handlers = (
        ("GET", path + end, list_grants),
        ("GET", one, check_grant),
        ("PUT", one, create_grant),
        ("DELETE", one, revoke_grant),
    )
    return [
        Route(method=method, path=where, handler=handler, policy="identity:any_caller", body=NO_BODY)
        for method, where, handler in handlers
    ]


ROUTES = [
    *_routes(),
    Route(
        method="GET",
        path="/v3/role_assignments",
        handler=list_assignments,
        policy="identity:any_caller",
        body=NO_BODY,
    ),
]

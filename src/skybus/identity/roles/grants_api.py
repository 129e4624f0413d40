"""Grants: a user's or group's roles on a project, a domain or the system: routes."""

from __future__ import annotations

from itertools import product
from typing import Any

from skybus.errors import BadRequest, Forbidden
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.identity.auth.claims import SYSTEM
from skybus.identity.delegation.application_credentials_end import credentials_end
from skybus.identity.people import groups, users
from skybus.identity.people.groups_api import group_target
from skybus.identity.people.users_api import user_target
from skybus.identity.projects import projects
from skybus.identity.projects.projects_api import project_target
from skybus.identity.roles import assignments, roles
from skybus.identity.roles.assignments import Grant
from skybus.identity.roles.roles_api import role_target
from skybus.identity.rows import change, missing, path_id, whole


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
        role = await roles.role_hold(tx, grant.role_id)
        if grant.user_id is not None:
            await users.user_hold(tx, grant.user_id)
        elif await tx.fetchrow(groups.HOLD, grant.group_id) is None:
            raise missing("group", str(grant.group_id))
        target = await tx.fetchrow(projects.HOLD, grant.target_id) if grant.target_id is not None else None
        if grant.target_id is not None and target is None:
            raise missing("project", grant.target_id)
        _refuse_misplaced(role, target)
        await assignments.grant_insert(tx, grant)
    return Reply(None, 204)


def _refuse_misplaced(role: Any, target: Any | None) -> None:
    """A role of one domain is good on the projects of that domain, and not on the system. Raises Forbidden or
    BadRequest."""
    if role["domain_id"] is None:
        return
    if target is None:
        raise BadRequest(f"Role {role['id']} is a domain-specific role, which cannot be given on the system.")
    if not target["is_domain"] and target["domain_id"] != role["domain_id"]:
        raise Forbidden(f"Project {target['id']} must be in the same domain as the role {role['id']} being assigned.")


async def revoke_grant(call: Call) -> Reply:
    """Take a role away."""
    _require(call, "revoke", await _rows(call))
    async with change(call) as tx:
        grant = _grant(call)
        await assignments.grant_delete(tx, grant)
        await credentials_end(tx, grant)
    return Reply(None, 204)


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


ROUTES = _routes()

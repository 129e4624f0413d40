"""Projects and their tags: routes."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity import projects
from skybus.identity.rows import body_of, change, flag, flag_filter, listing, missing, path_id, query_text, text_filter
from skybus.identity.users_api import domain_of_list

MOST_TAGS = 80


def project_target(project: Any | None) -> dict[str, Any]:
    """What policy rules may compare of a project."""
    if project is None:
        return {"target.project.id": None}
    return {"target.project.id": project["id"], "target.project.domain_id": project["domain_id"]}


async def permitted_project(call: Call, rule: str) -> Any:
    """The project in the path, if the caller may do `rule` to it. Raises Forbidden or NotFound, in this order."""
    project_id = path_id(call, "project_id", "project")
    project = await projects.project_find(call.store, project_id)
    call.require(rule, **project_target(project))
    if project is None:
        raise missing("project", project_id)
    return project


async def list_projects(call: Call) -> Reply:
    """`GET /projects`; domains are listed with `is_domain`."""
    call.require("identity:list_projects", **{"target.domain_id": domain_of_list(call)})
    where = Where()
    where.add("p.is_domain = {}", flag(call.query.get("is_domain", "false")))
    if call.caller.domain_id is not None:
        where.add("COALESCE(p.domain_id, p.id) = {}", call.caller.domain_id)
    for name in ("domain_id", "parent_id"):
        if name in call.query:
            where.add(f"p.{name} = {{}}", query_text(call, name))
    text_filter(call, where, "name", "p.name")
    flag_filter(call, where, "enabled", "p.enabled")
    _tag_filters(call, where)
    return await listing(call, "projects", projects.LIST, where, projects.project_view, "p.id")


def _tag_filters(call: Call, where: Where) -> None:
    conditions = {
        "tags": "p.tags @> {}::text[]",
        "tags-any": "p.tags && {}::text[]",
        "not-tags": "NOT p.tags @> {}::text[]",
        "not-tags-any": "NOT p.tags && {}::text[]",
    }
    for name, condition in conditions.items():
        if name in call.query:
            where.add(condition, query_text(call, name).split(","))


async def create_project(call: Call) -> Reply:
    """`POST /projects`; with `is_domain` it makes a domain."""
    asked = body_of(call, "project")
    caller = call.caller
    if asked.get("is_domain"):
        call.require("identity:create_domain")
        if asked.get("parent_id") is not None or asked.get("domain_id") is not None:
            raise BadRequest("A project that acts as a domain has no parent and no domain.")
        async with change(call) as tx:
            row = await projects.domain_insert(tx, asked)
        return _shown(call, row, 201)
    default = caller.domain_id or caller.project_domain_id or projects.DEFAULT_DOMAIN
    inside = asked.get("domain_id") or default
    if asked.get("parent_id") is not None:
        parent = await projects.project_find(call.store, asked["parent_id"])
        inside = (parent["domain_id"] or parent["id"]) if parent is not None else None
    call.require("identity:create_project", **{"target.project.domain_id": inside})
    async with change(call) as tx:
        row = await projects.project_insert(tx, asked, default)
    return _shown(call, row, 201)


async def show_project(call: Call) -> Reply:
    """`GET /projects/{project_id}`."""
    project = await permitted_project(call, "identity:get_project")
    body = projects.project_view(project, call.base + "/v3")
    if "parents_as_list" in call.query or "parents_as_ids" in call.query:
        body["parents"] = await _family(call, project, PARENTS, "parents_as_ids")
    if "subtree_as_list" in call.query or "subtree_as_ids" in call.query:
        body["subtree"] = await _family(call, project, SUBTREE, "subtree_as_ids")
    return Reply({"project": body})


PARENTS = """
WITH RECURSIVE found AS (
    SELECT p.*, 0 AS depth FROM identity.project p WHERE p.id = $1
    UNION ALL
    SELECT p.*, f.depth + 1 FROM identity.project p JOIN found f ON p.id = f.parent_id WHERE f.depth < 32
)
SELECT * FROM found WHERE depth > 0 ORDER BY depth
"""
SUBTREE = """
WITH RECURSIVE found AS (
    SELECT p.*, 0 AS depth FROM identity.project p WHERE p.id = $1
    UNION ALL
    SELECT p.*, f.depth + 1 FROM identity.project p JOIN found f ON p.parent_id = f.id WHERE f.depth < 32
)
SELECT * FROM found WHERE depth > 0 ORDER BY depth, id
"""


async def _family(call: Call, project: Any, sql: str, ids: str) -> Any:
    """Projects above or below, as a list or, when `ids` is asked for, as nested ids."""
    rows = await call.store.fetch(sql, project["id"])
    if ids not in call.query:
        return [{"project": projects.project_view(row, call.base + "/v3")} for row in rows if not row["is_domain"]]
    if sql == PARENTS:
        tree: dict[str, Any] | None = None
        for row in reversed(rows):
            tree = {row["id"]: tree}
        return tree
    nodes: dict[str, dict[str, Any]] = {project["id"]: {}}
    for row in rows:
        nodes[row["id"]] = nodes[row["parent_id"]][row["id"]] = {}
    return _pruned(nodes[project["id"]])


def _pruned(tree: dict[str, Any]) -> dict[str, Any] | None:
    return {key: _pruned(value) for key, value in tree.items()} or None


async def update_project(call: Call) -> Reply:
    """`PATCH /projects/{project_id}`."""
    project = await permitted_project(call, "identity:update_project")
    async with change(call) as tx:
        row = await projects.project_update(tx, project["id"], body_of(call, "project"), is_domain=project["is_domain"])
    return _shown(call, row)


async def delete_project(call: Call) -> Reply:
    """`DELETE /projects/{project_id}`."""
    project = await permitted_project(call, "identity:delete_project")
    async with change(call) as tx:
        if project["is_domain"]:
            await projects.domain_delete(tx, project["id"])
        else:
            await projects.project_delete(tx, project["id"])
    return Reply(None, 204)


async def list_tags(call: Call) -> Reply:
    """`GET /projects/{project_id}/tags`."""
    project = await permitted_project(call, "identity:list_project_tags")
    self_link = f"{call.base}/v3/projects/{project['id']}/tags"
    return Reply({"tags": project["tags"], "links": {"self": self_link, "previous": None, "next": None}})


async def replace_tags(call: Call) -> Reply:
    """`PUT /projects/{project_id}/tags`."""
    project = await permitted_project(call, "identity:update_project_tags")
    tags = body_of(call, "tags")
    await _set_tags(call, project, list(tags))
    return Reply({"tags": sorted(tags), "links": {"self": f"{call.base}/v3/projects/{project['id']}/tags"}})


async def delete_tags(call: Call) -> Reply:
    """`DELETE /projects/{project_id}/tags`."""
    project = await permitted_project(call, "identity:delete_project_tags")
    await _set_tags(call, project, [])
    return Reply(None, 204)


def _tag(call: Call) -> str:
    tag = call.args["tag"]
    if not 0 < len(tag) <= 255 or "," in tag or not tag.isprintable():
        raise BadRequest("A tag has 1 to 255 characters, without commas and slashes.")
    return tag


async def show_tag(call: Call) -> Reply:
    """`GET /projects/{project_id}/tags/{tag}`: whether it has it."""
    project = await permitted_project(call, "identity:get_project_tag")
    if _tag(call) not in project["tags"]:
        raise missing("project tag", _tag(call))
    return Reply(None, 204)


async def add_tag(call: Call) -> Reply:
    """`PUT /projects/{project_id}/tags/{tag}`."""
    project = await permitted_project(call, "identity:create_project_tag")
    tags = {*project["tags"], _tag(call)}
    if len(tags) > MOST_TAGS:
        raise BadRequest(f"A project has at most {MOST_TAGS} tags.")
    await _set_tags(call, project, list(tags))
    return Reply(None, 201, {"Location": f"{call.base}/v3/projects/{project['id']}/tags/{_tag(call)}"})


async def delete_tag(call: Call) -> Reply:
    """`DELETE /projects/{project_id}/tags/{tag}`."""
    project = await permitted_project(call, "identity:delete_project_tag")
    if _tag(call) not in project["tags"]:
        raise missing("project tag", _tag(call))
    await _set_tags(call, project, [tag for tag in project["tags"] if tag != _tag(call)])
    return Reply(None, 204)


async def _set_tags(call: Call, project: Any, tags: list[str]) -> None:
    async with change(call) as tx:
        await projects.project_update(tx, project["id"], {"tags": tags}, is_domain=project["is_domain"])


def _shown(call: Call, row: Any, status: int = 200) -> Reply:
    return Reply({"project": projects.project_view(row, call.base + "/v3")}, status)


def _own(method: str, path: str, handler: Any, body: str = NO_BODY) -> Route:
    """A route whose handler asks for the rule, because the rule looks at the project."""
    return Route(method=method, path="/v3/projects" + path, handler=handler, policy="identity:any_caller", body=body)


ROUTES = [
    _own("GET", "", list_projects),
    _own("POST", "", create_project, "identity/project-create"),
    _own("GET", "/{project_id}", show_project),
    _own("PATCH", "/{project_id}", update_project, "identity/project-update"),
    _own("DELETE", "/{project_id}", delete_project),
    _own("GET", "/{project_id}/tags", list_tags),
    _own("PUT", "/{project_id}/tags", replace_tags, "identity/project-tags"),
    _own("DELETE", "/{project_id}/tags", delete_tags),
    _own("GET", "/{project_id}/tags/{tag}", show_tag),
    _own("PUT", "/{project_id}/tags/{tag}", add_tag),
    _own("DELETE", "/{project_id}/tags/{tag}", delete_tag),
]

"""Projects and their tags: routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from skybus.errors import BadRequest, NotFound
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity.people.users_api import domain_of_list
from skybus.identity.projects import domains, projects
from skybus.identity.projects.project_tree import tree_shown
from skybus.identity.rows import body_of, change, flag, flag_filter, listing, missing, path_id, query_text, text_filter


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
    text_filter(call, where, "domain_id", "p.domain_id")
    text_filter(call, where, "parent_id", "p.parent_id")
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
        try:
            row = await projects.project_insert(tx, asked, default)
            call.service("identity").limit_model.check_place(row["parent_id"], row["domain_id"])
        except NotFound as error:
            raise BadRequest(error.reason) from None
    return _shown(call, row, 201)


async def show_project(call: Call) -> Reply:
    """`GET /projects/{project_id}`."""
    project = await permitted_project(call, "identity:get_project")
    body = projects.project_view(project, call.base + "/v3")
    return Reply({"project": {**body, **await tree_shown(call, project)}})


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
            await domains.domain_delete(tx, project["id"])
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
    row = await _tags_change(call, project, lambda _: set(body_of(call, "tags")))
    return Reply({"tags": row["tags"], "links": {"self": f"{call.base}/v3/projects/{project['id']}/tags"}})


async def delete_tags(call: Call) -> Reply:
    """`DELETE /projects/{project_id}/tags`."""
    project = await permitted_project(call, "identity:delete_project_tags")
    await _tags_change(call, project, lambda _: set())
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
    tag = _tag(call)
    await _tags_change(call, project, lambda tags: {*tags, tag})
    return Reply(None, 201, {"Location": f"{call.base}/v3/projects/{project['id']}/tags/{quote(tag)}"})


async def delete_tag(call: Call) -> Reply:
    """`DELETE /projects/{project_id}/tags/{tag}`."""
    project = await permitted_project(call, "identity:delete_project_tag")
    tag = _tag(call)

    def without(tags: set[str]) -> set[str]:
        if tag not in tags:
            raise missing("project tag", tag)
        return tags - {tag}

    await _tags_change(call, project, without)
    return Reply(None, 204)


async def _tags_change(call: Call, project: Any, change_of: Callable[[set[str]], set[str]]) -> Any:
    async with change(call) as tx:
        return await projects.tags_change(tx, project["id"], change_of)


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

"""Endpoint groups and what projects are given of the catalog (OS-EP-FILTER): routes."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity.catalog import endpoint_filter, endpoint_groups
from skybus.identity.catalog.endpoint_filter import Gift
from skybus.identity.catalog.endpoints import endpoint_get, endpoint_view
from skybus.identity.projects.projects import project_find, project_view
from skybus.identity.rows import body_of, change, listing, missing, path_id, text_filter, whole

PREFIX = "/v3/OS-EP-FILTER"


async def list_groups(call: Call) -> Reply:
    """`GET /OS-EP-FILTER/endpoint_groups`."""
    where = Where()
    text_filter(call, where, "name", "g.name")
    view = endpoint_groups.endpoint_group_view
    return await listing(call, "endpoint_groups", endpoint_groups.LIST, where, view, "g.id")


async def create_group(call: Call) -> Reply:
    """`POST /OS-EP-FILTER/endpoint_groups`."""
    async with change(call) as tx:
        row = await endpoint_groups.endpoint_group_insert(tx, body_of(call, "endpoint_group"))
    return _shown(call, row, 201)


async def show_group(call: Call) -> Reply:
    """`GET /OS-EP-FILTER/endpoint_groups/{endpoint_group_id}`."""
    return _shown(call, await endpoint_groups.endpoint_group_get(call.store, _group_id(call)))


async def update_group(call: Call) -> Reply:
    """`PATCH /OS-EP-FILTER/endpoint_groups/{endpoint_group_id}`."""
    asked = body_of(call, "endpoint_group")
    if asked.get("id", _group_id(call)) != _group_id(call):
        raise BadRequest("The id of an endpoint group cannot be changed.")
    async with change(call) as tx:
        row = await endpoint_groups.endpoint_group_update(tx, _group_id(call), asked)
    return _shown(call, row)


async def delete_group(call: Call) -> Reply:
    """`DELETE /OS-EP-FILTER/endpoint_groups/{endpoint_group_id}`."""
    async with change(call) as tx:
        await endpoint_groups.endpoint_group_delete(tx, _group_id(call))
    return Reply(None, 204)


def _group_id(call: Call) -> str:
    return path_id(call, "endpoint_group_id", "endpoint_group")


def _shown(call: Call, row: Any, status: int = 200) -> Reply:
    return Reply({"endpoint_group": endpoint_groups.endpoint_group_view(row, call.base + "/v3")}, status)


# --- what projects are given


async def _gift(call: Call) -> Gift:
    """What the path names. Raises NotFound when a part of it is not there."""
    project_id = await _project_id(call)
    if "endpoint_id" in call.args:
        endpoint_id = path_id(call, "endpoint_id", "endpoint")
        await endpoint_get(call.store, endpoint_id)
        return Gift(project_id=project_id, endpoint_id=endpoint_id)
    await endpoint_groups.endpoint_group_get(call.store, _group_id(call))
    return Gift(project_id=project_id, endpoint_group_id=_group_id(call))


async def _project_id(call: Call) -> str:
    project_id = path_id(call, "project_id", "project")
    if await project_find(call.store, project_id) is None:
        raise missing("project", project_id)
    return project_id


async def give(call: Call) -> Reply:
    """`PUT` of an endpoint or an endpoint group and a project."""
    gift = await _gift(call)
    async with change(call) as tx:
        await endpoint_filter.gift_insert(tx, gift)
    return Reply(None, 204)


async def withdraw(call: Call) -> Reply:
    """`DELETE` of an endpoint or an endpoint group and a project."""
    gift = await _gift(call)
    async with change(call) as tx:
        await endpoint_filter.gift_delete(tx, gift)
    return Reply(None, 204)


async def check_endpoint(call: Call) -> Reply:
    """`GET /OS-EP-FILTER/projects/{project_id}/endpoints/{endpoint_id}`."""
    await endpoint_filter.gift_check(call.store, await _gift(call))
    return Reply(None, 204)


async def show_group_in_project(call: Call) -> Reply:
    """`GET /OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects/{project_id}`."""
    gift = await _gift(call)
    await endpoint_filter.gift_check(call.store, gift)
    link = f"{call.base}{PREFIX}/endpoint_groups/{gift.endpoint_group_id}/projects/{gift.project_id}"
    shown = {"endpoint_group_id": gift.endpoint_group_id, "project_id": gift.project_id, "links": {"self": link}}
    return Reply({"project_endpoint_group": shown})


async def list_endpoints_of_project(call: Call) -> Reply:
    """`GET /OS-EP-FILTER/projects/{project_id}/endpoints`."""
    rows = await endpoint_filter.endpoints_of_project(call.store, await _project_id(call))
    return whole(call, "endpoints", [endpoint_view(row, call.base + "/v3") for row in rows])


async def list_groups_of_project(call: Call) -> Reply:
    """`GET /OS-EP-FILTER/projects/{project_id}/endpoint_groups`."""
    rows = await endpoint_filter.groups_of_project(call.store, await _project_id(call))
    views = [endpoint_groups.endpoint_group_view(row, call.base + "/v3") for row in rows]
    return whole(call, "endpoint_groups", views)


async def list_endpoints_of_group(call: Call) -> Reply:
    """`GET /OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/endpoints`."""
    group = await endpoint_groups.endpoint_group_get(call.store, _group_id(call))
    rows = await endpoint_groups.endpoints_in_group(call.store, group["id"])
    return whole(call, "endpoints", [endpoint_view(row, call.base + "/v3") for row in rows])


async def list_projects_of_group(call: Call) -> Reply:
    """`GET /OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects`."""
    group = await endpoint_groups.endpoint_group_get(call.store, _group_id(call))
    return _projects(call, await endpoint_filter.projects_of_group(call.store, group["id"]))


async def list_projects_of_endpoint(call: Call) -> Reply:
    """`GET /OS-EP-FILTER/endpoints/{endpoint_id}/projects`."""
    endpoint = await endpoint_get(call.store, path_id(call, "endpoint_id", "endpoint"))
    return _projects(call, await endpoint_filter.projects_of_endpoint(call.store, endpoint["id"]))


def _projects(call: Call, rows: list[Any]) -> Reply:
    return whole(call, "projects", [project_view(row, call.base + "/v3") for row in rows])


def _route(method: str, path: str, handler: Any, rule: str, body: str = NO_BODY) -> Route:
    return Route(method=method, path=PREFIX + path, handler=handler, policy=f"identity:{rule}", body=body)


GROUP = "/endpoint_groups/{endpoint_group_id}"
GROUP_PROJECT = GROUP + "/projects/{project_id}"
PROJECT = "/projects/{project_id}"
PROJECT_ENDPOINT = PROJECT + "/endpoints/{endpoint_id}"
ROUTES = [
    _route("GET", "/endpoint_groups", list_groups, "list_endpoint_groups"),
    _route("POST", "/endpoint_groups", create_group, "create_endpoint_group", "identity/endpoint-group-create"),
    _route("GET", GROUP, show_group, "get_endpoint_group"),
    _route("PATCH", GROUP, update_group, "update_endpoint_group", "identity/endpoint-group-update"),
    _route("DELETE", GROUP, delete_group, "delete_endpoint_group"),
    _route("GET", GROUP + "/endpoints", list_endpoints_of_group, "list_endpoints_associated_with_endpoint_group"),
    _route("GET", GROUP + "/projects", list_projects_of_group, "list_projects_associated_with_endpoint_group"),
    _route("GET", GROUP_PROJECT, show_group_in_project, "get_endpoint_group_in_project"),
    _route("PUT", GROUP_PROJECT, give, "add_endpoint_group_to_project"),
    _route("DELETE", GROUP_PROJECT, withdraw, "remove_endpoint_group_from_project"),
    _route("GET", PROJECT + "/endpoints", list_endpoints_of_project, "list_endpoints_for_project"),
    _route("GET", PROJECT + "/endpoint_groups", list_groups_of_project, "list_endpoint_groups_for_project"),
    _route("GET", PROJECT_ENDPOINT, check_endpoint, "check_endpoint_in_project"),
    _route("PUT", PROJECT_ENDPOINT, give, "add_endpoint_to_project"),
    _route("DELETE", PROJECT_ENDPOINT, withdraw, "remove_endpoint_from_project"),
    _route("GET", "/endpoints/{endpoint_id}/projects", list_projects_of_endpoint, "list_projects_for_endpoint"),
]

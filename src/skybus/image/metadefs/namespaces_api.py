"""Routes of metadata definition namespaces, and of the removal of all of a kind from one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from skybus.errors import BadRequest, Conflict
from skybus.http.call import Call, Reply
from skybus.http.paging import Where, next_url, page_of
from skybus.http.routes import NO_BODY, Route
from skybus.image.metadefs.announcements import Kind, announce
from skybus.image.metadefs.contents import contents_insert, contents_view
from skybus.image.metadefs.guards import (
    FRONT,
    is_visible,
    own_namespace,
    permits,
    refuse_protected,
    refuse_read_only,
    require,
    seen_namespace,
)
from skybus.image.metadefs.namespaces import (
    SORT_KEYS,
    namespace_delete,
    namespace_get,
    namespace_insert,
    namespace_list,
    namespace_update,
    not_found,
)
from skybus.image.metadefs.objects import object_delete_all
from skybus.image.metadefs.properties import property_delete_all
from skybus.image.metadefs.resource_types import associations_of
from skybus.image.metadefs.tags import tag_delete_all
from skybus.image.metadefs.views import NAMESPACES, namespace_view, prefixed

PAGE = 25
MAX_TYPES_ASKED = 100
READ_ONLY = ("self", "schema", "created_at", "updated_at")
PARTS = {
    "resource_type_associations": "add_metadef_resource_type_association",
    "objects": "add_metadef_object",
    "properties": "add_metadef_property",
    "tags": "add_metadef_tag",
}
"""What a new namespace may bring along, and who may add it."""


async def create_namespace(call: Call) -> Reply:
    """POST /v2/metadefs/namespaces, with all that is to be in it."""
    refuse_read_only(call.body, READ_ONLY)
    owner = call.body.get("owner") or call.project_id
    call.require("add_metadef_namespace", project_id=owner)
    for part, rule in PARTS.items():
        if call.body.get(part):
            call.require(rule, project_id=owner)
    async with call.transaction() as tx:
        made = await namespace_insert(tx, call.body, owner)
        if made is None:
            raise Conflict(f"The metadata definition namespace={call.body['namespace']} already exists.")
        await contents_insert(tx, made.namespace, call.body)
        view = await contents_view(tx, made)
        announce(tx, made, "namespace", "created")
    return Reply(view, 201, headers={"Location": f"{call.base}{NAMESPACES}/{quote(made.namespace, safe=':')}"})


async def list_namespaces(call: Call) -> Reply:
    """GET /v2/metadefs/namespaces: those that the caller may see, without what is in them."""
    page = page_of(call, keys=SORT_KEYS, default_sort="created_at", default_limit=PAGE)
    call.require("list_metadef_resource_types", project_id=call.caller.project_id)
    if page.marker is not None:
        marker = await namespace_get(call.store, page.marker)
        if marker is None or not is_visible(call, marker):
            raise not_found(page.marker)
    found = await namespace_list(call.store, _conditions(call), page)
    shown = [one for one in found[: page.limit] if permits(call, one, "get_metadef_namespace")]
    types = await associations_of(call.store, [one.namespace for one in shown])
    query = call.request.query_string
    body: dict[str, Any] = {
        "namespaces": [namespace_view(one, types[one.namespace]) for one in shown],
        "first": f"{NAMESPACES}?{query}" if query else NAMESPACES,
        "schema": "/v2/schemas/metadefs/namespaces",
    }
    if len(found) > page.limit > 0:
        body["next"] = next_url(call, NAMESPACES, found[page.limit - 1].namespace)
    return Reply(body)


def _conditions(call: Call) -> Where:
    where = Where()
    if "admin" not in call.caller.roles:
        where.add("n.owner = {} OR n.visibility = 'public'", call.caller.project_id or "")
    visibility = call.query.get("visibility")
    if visibility:
        if visibility not in ("public", "private"):
            raise BadRequest(f"Invalid visibility value: {visibility[:32]}")
        where.add("n.visibility = {}", visibility)
    if "resource_types" in call.query:
        types = call.query["resource_types"].split(",")
        if len(types) > MAX_TYPES_ASKED:
            raise BadRequest(f"At most {MAX_TYPES_ASKED} resource types may be asked for at once.")
        where.add(
            "EXISTS (SELECT FROM image.metadef_association a "
            "WHERE a.namespace = n.namespace AND a.resource_type = ANY ({}::text[]))",
            types,
        )
    return where


async def show_namespace(call: Call) -> Reply:
    """GET .../namespaces/{namespace}: with all that is in it, called as on things of `?resource_type`."""
    found = await seen_namespace(call, call.store, "get_metadef_namespace")
    for rule in (
        "list_metadef_resource_types",
        "get_metadef_objects",
        "get_metadef_properties",
        "get_metadef_tags",
    ):
        require(call, found, rule)
    view = await contents_view(call.store, found)
    return Reply(prefixed(view, call.query.get("resource_type", "")))


async def update_namespace(call: Call) -> Reply:
    """PUT .../namespaces/{namespace}: what is not said is as in a new one. What is in the namespace stays."""
    refuse_read_only(call.body, READ_ONLY)
    async with call.transaction() as tx:
        found = await own_namespace(call, tx, "modify_metadef_namespace")
        owner = call.body.get("owner") or call.caller.project_id or found.owner
        call.require("modify_metadef_namespace", project_id=owner)
        changed = await namespace_update(tx, found.namespace, call.body, owner)
        if changed is None:
            raise Conflict(f"There is another metadata definition namespace called {call.body['namespace']}.")
        announce(tx, changed, "namespace", "updated", old_name=found.namespace)
    return Reply(namespace_view(changed))


async def delete_namespace(call: Call) -> Reply:
    """DELETE .../namespaces/{namespace}, with everything in it."""
    async with call.transaction() as tx:
        found = await own_namespace(call, tx, "delete_metadef_namespace")
        refuse_protected(found, f"namespace {found.namespace}")
        await namespace_delete(tx, found.namespace)
        announce(tx, found, "namespace", "deleted")
    return Reply(status=204)


async def delete_objects(call: Call) -> Reply:
    """DELETE .../objects: all."""
    return await _delete_all(call, "object", object_delete_all)


async def delete_properties(call: Call) -> Reply:
    """DELETE .../properties: all."""
    return await _delete_all(call, "property", property_delete_all)


async def delete_tags(call: Call) -> Reply:
    """DELETE .../tags: all."""
    return await _delete_all(call, "tag", tag_delete_all, "delete_metadef_tags")


async def _delete_all(
    call: Call,
    kind: Kind,
    delete_all: Callable[[Any, str], Awaitable[None]],
    *more_rules: str,
) -> Reply:
    async with call.transaction() as tx:
        found = await own_namespace(call, tx, "delete_metadef_namespace")
        for rule in more_rules:
            require(call, found, rule)
        refuse_protected(found, f"namespace {found.namespace}")
        await delete_all(tx, found.namespace)
        announce(tx, found, kind, "deleted")
    return Reply(status=204)


ONE = NAMESPACES + "/{namespace}"
CREATE, UPDATE = "image/metadef-namespace-create", "image/metadef-namespace-update"
ROUTES: list[Route] = [
    Route(method="POST", path=NAMESPACES, handler=create_namespace, policy="add_metadef_namespace", body=CREATE),
    Route(method="GET", path=NAMESPACES, handler=list_namespaces, policy="get_metadef_namespaces", body=NO_BODY),
    Route(method="GET", path=ONE, handler=show_namespace, policy=FRONT, body=NO_BODY),
    Route(method="PUT", path=ONE, handler=update_namespace, policy=FRONT, body=UPDATE),
    Route(method="DELETE", path=ONE, handler=delete_namespace, policy=FRONT, body=NO_BODY),
    Route(method="DELETE", path=f"{ONE}/objects", handler=delete_objects, policy=FRONT, body=NO_BODY),
    Route(method="DELETE", path=f"{ONE}/properties", handler=delete_properties, policy=FRONT, body=NO_BODY),
    Route(method="DELETE", path=f"{ONE}/tags", handler=delete_tags, policy=FRONT, body=NO_BODY),
]

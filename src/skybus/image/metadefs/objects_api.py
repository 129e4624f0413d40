"""Routes of the objects of a metadata definition namespace."""

from __future__ import annotations

from skybus.errors import BadRequest, Conflict
from skybus.http.call import Call, Reply
from skybus.http.paging import page_of
from skybus.http.routes import NO_BODY, Route
from skybus.image.metadefs.announcements import announce
from skybus.image.metadefs.bounds import MOST, check_room
from skybus.image.metadefs.guards import FRONT, own_namespace, refuse_protected, refuse_read_only, seen_namespace
from skybus.image.metadefs.namespaces import Namespace
from skybus.image.metadefs.objects import (
    SORT_KEYS,
    object_delete,
    object_get,
    object_insert,
    object_list,
    object_update,
)
from skybus.image.metadefs.views import NAMESPACES, object_view

READ_ONLY = ("self", "schema", "created_at", "updated_at")


def _taken(found: Namespace, name: str) -> Conflict:
    return Conflict(f"A metadata definition object with name={name} already exists in namespace={found.namespace}.")


async def create_object(call: Call) -> Reply:
    """POST .../objects."""
    refuse_read_only(call.body, READ_ONLY)
    async with call.transaction() as tx:
        found = await own_namespace(call, tx, "add_metadef_object")
        row = await object_insert(tx, found.namespace, call.body)
        if row is None:
            raise _taken(found, call.body["name"])
        await check_room(tx, found.namespace)
        announce(tx, found, "object", "created", row["name"])
    return Reply(object_view(row), 201)


async def list_objects(call: Call) -> Reply:
    """GET .../objects: all, unless a limit is said."""
    found = await seen_namespace(call, call.store, "get_metadef_objects")
    page = page_of(call, keys=SORT_KEYS, default_sort="created_at", max_limit=MOST["objects"])
    if page.limit == 0:
        raise BadRequest("limit param must be positive")
    rows = await object_list(call.store, found.namespace, page)
    # Without a slash at its beginning: Glance says it so.
    return Reply({"objects": [object_view(row) for row in rows], "schema": "v2/schemas/metadefs/objects"})


async def show_object(call: Call) -> Reply:
    """GET .../objects/{object_name}."""
    found = await seen_namespace(call, call.store, "get_metadef_object")
    return Reply(object_view(await object_get(call.store, found.namespace, call.args["object_name"])))


async def update_object(call: Call) -> Reply:
    """PUT .../objects/{object_name}: what is not said is gone."""
    refuse_read_only(call.body, READ_ONLY)
    async with call.transaction() as tx:
        found = await own_namespace(call, tx, "modify_metadef_object")
        old = await object_get(tx, found.namespace, call.args["object_name"])
        row = await object_update(tx, found.namespace, old["name"], call.body)
        if row is None:
            raise _taken(found, call.body["name"])
        await check_room(tx, found.namespace)
        announce(tx, found, "object", "updated", row["name"], old_name=old["name"])
    return Reply(object_view(row))


async def delete_object(call: Call) -> Reply:
    """DELETE .../objects/{object_name}."""
    async with call.transaction() as tx:
        found = await own_namespace(call, tx, "delete_metadef_object")
        row = await object_get(tx, found.namespace, call.args["object_name"])
        refuse_protected(found, f"object {row['name']}")
        await object_delete(tx, found.namespace, row["name"])
        announce(tx, found, "object", "deleted", row["name"])
    return Reply(status=204)


OBJECTS = NAMESPACES + "/{namespace}/objects"
OBJECT = OBJECTS + "/{object_name}"
CREATE, UPDATE = "image/metadef-object-create", "image/metadef-object-update"
ROUTES: list[Route] = [
    Route(method="POST", path=OBJECTS, handler=create_object, policy=FRONT, body=CREATE),
    Route(method="GET", path=OBJECTS, handler=list_objects, policy=FRONT, body=NO_BODY),
    Route(method="GET", path=OBJECT, handler=show_object, policy=FRONT, body=NO_BODY),
    Route(method="PUT", path=OBJECT, handler=update_object, policy=FRONT, body=UPDATE),
    Route(method="DELETE", path=OBJECT, handler=delete_object, policy=FRONT, body=NO_BODY),
]

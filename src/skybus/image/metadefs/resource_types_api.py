"""Routes of resource types, and of their associations with metadata definition namespaces."""

from __future__ import annotations

from skybus.errors import Conflict, NotFound
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.image.metadefs.announcements import announce
from skybus.image.metadefs.bounds import check_room
from skybus.image.metadefs.guards import (
    FRONT,
    own_namespace,
    permits,
    refuse_protected,
    refuse_read_only,
    seen_namespace,
)
from skybus.image.metadefs.resource_types import (
    association_delete,
    association_insert,
    associations_of,
    resource_type_list,
)
from skybus.image.metadefs.views import NAMESPACES, association_view, resource_type_view

READ_ONLY = ("created_at", "updated_at")


async def list_resource_types(call: Call) -> Reply:
    """GET /v2/metadefs/resource_types."""
    rows = await resource_type_list(call.store)
    return Reply({"resource_types": [resource_type_view(row) for row in rows]})


async def list_associations(call: Call) -> Reply:
    """GET .../resource_types: those that the namespace speaks of."""
    found = await seen_namespace(call, call.store, "list_metadef_resource_types")
    rows = (await associations_of(call.store, [found.namespace]))[found.namespace]
    shown = rows if permits(call, found, "get_metadef_resource_type") else []
    return Reply({"resource_type_associations": [association_view(row) for row in shown]})


async def associate(call: Call) -> Reply:
    """POST .../resource_types: a type that is new to the cloud comes into being."""
    refuse_read_only(call.body, READ_ONLY)
    async with call.transaction() as tx:
        found = await own_namespace(call, tx, "add_metadef_resource_type_association")
        row = await association_insert(tx, found.namespace, call.body)
        if row is None:
            raise Conflict(f"Resource type {call.body['name']} is associated with namespace {found.namespace} already.")
        await check_room(tx, found.namespace)
        announce(tx, found, "resource_type", "created", row["resource_type"])
    return Reply(association_view(row), 201)


async def dissociate(call: Call) -> Reply:
    """DELETE .../resource_types/{resource_type}."""
    async with call.transaction() as tx:
        found = await own_namespace(call, tx, "remove_metadef_resource_type_association")
        name = call.args["resource_type"]
        if not await association_delete(tx, found.namespace, name):
            raise NotFound(f"Failed to find resource type {name[:80]} to delete")
        refuse_protected(found, f"resource type association {name}")
        announce(tx, found, "resource_type", "deleted", name)
    return Reply(status=204)


ASSOCIATIONS = NAMESPACES + "/{namespace}/resource_types"
ASSOCIATION = ASSOCIATIONS + "/{resource_type}"
CREATE = "image/metadef-resource-type-create"
ROUTES: list[Route] = [
    Route(
        method="GET",
        path="/v2/metadefs/resource_types",
        handler=list_resource_types,
        policy="list_metadef_resource_types",
        body=NO_BODY,
    ),
    Route(method="GET", path=ASSOCIATIONS, handler=list_associations, policy=FRONT, body=NO_BODY),
    Route(method="POST", path=ASSOCIATIONS, handler=associate, policy=FRONT, body=CREATE),
    Route(method="DELETE", path=ASSOCIATION, handler=dissociate, policy=FRONT, body=NO_BODY),
]

"""Routes of the properties of a metadata definition namespace."""

from __future__ import annotations

from skybus.errors import Conflict, NotFound
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.image.metadefs.announcements import announce
from skybus.image.metadefs.bounds import check_room
from skybus.image.metadefs.guards import (
    FRONT,
    own_namespace,
    refuse_protected,
    refuse_read_only,
    require,
    seen_namespace,
)
from skybus.image.metadefs.namespaces import Namespace
from skybus.image.metadefs.properties import (
    property_all,
    property_delete,
    property_get,
    property_insert,
    property_update,
)
from skybus.image.metadefs.resource_types import association_get
from skybus.image.metadefs.views import NAMESPACES, properties_view, property_view

READ_ONLY = ("created_at", "updated_at")


def _taken(found: Namespace, name: str) -> Conflict:
    return Conflict(f"A metadata definition property with name={name} already exists in namespace={found.namespace}.")


async def create_property(call: Call) -> Reply:
    """POST .../properties."""
    refuse_read_only(call.body, READ_ONLY)
    async with call.transaction() as tx:
        found = await own_namespace(call, tx, "add_metadef_property")
        row = await property_insert(tx, found.namespace, call.body)
        if row is None:
            raise _taken(found, call.body["name"])
        await check_room(tx, found.namespace)
        announce(tx, found, "property", "created", row["name"])
    return Reply(property_view(row), 201)


async def list_properties(call: Call) -> Reply:
    """GET .../properties: all, by their names."""
    found = await seen_namespace(call, call.store, "get_metadef_properties")
    return Reply({"properties": properties_view(await property_all(call.store, found.namespace))})


async def show_property(call: Call) -> Reply:
    """GET .../properties/{property_name}; with `resource_type`, the name is the one on things of that type."""
    found = await seen_namespace(call, call.store, "get_metadef_property")
    name = call.args["property_name"]
    resource_type = call.query.get("resource_type")
    if resource_type:
        require(call, found, "get_metadef_resource_type")
        prefix = (await association_get(call.store, found.namespace, resource_type))["prefix"]
        if not prefix or not name.startswith(prefix):
            raise NotFound(
                f"Property {name[:80]} does not start with the prefix that {resource_type[:80]} has in namespace "
                f"{found.namespace}, {prefix or 'which is none'}."
            )
        name = name.removeprefix(prefix)
    return Reply(property_view(await property_get(call.store, found.namespace, name)))


async def update_property(call: Call) -> Reply:
    """PUT .../properties/{property_name}: what is not said is gone."""
    refuse_read_only(call.body, READ_ONLY)
    async with call.transaction() as tx:
        found = await own_namespace(call, tx, "modify_metadef_property")
        old = await property_get(tx, found.namespace, call.args["property_name"])
        row = await property_update(tx, found.namespace, old["name"], call.body)
        if row is None:
            raise _taken(found, call.body["name"])
        await check_room(tx, found.namespace)
        announce(tx, found, "property", "updated", row["name"], old_name=old["name"])
    return Reply(property_view(row))


async def delete_property(call: Call) -> Reply:
    """DELETE .../properties/{property_name}."""
    async with call.transaction() as tx:
        found = await own_namespace(call, tx, "remove_metadef_property")
        row = await property_get(tx, found.namespace, call.args["property_name"])
        refuse_protected(found, f"property {row['name']}")
        await property_delete(tx, found.namespace, row["name"])
        announce(tx, found, "property", "deleted", row["name"])
    return Reply(status=204)


PROPERTIES = NAMESPACES + "/{namespace}/properties"
PROPERTY = PROPERTIES + "/{property_name}"
CREATE, UPDATE = "image/metadef-property-create", "image/metadef-property-update"
ROUTES: list[Route] = [
    Route(method="POST", path=PROPERTIES, handler=create_property, policy=FRONT, body=CREATE),
    Route(method="GET", path=PROPERTIES, handler=list_properties, policy=FRONT, body=NO_BODY),
    Route(method="GET", path=PROPERTY, handler=show_property, policy=FRONT, body=NO_BODY),
    Route(method="PUT", path=PROPERTY, handler=update_property, policy=FRONT, body=UPDATE),
    Route(method="DELETE", path=PROPERTY, handler=delete_property, policy=FRONT, body=NO_BODY),
]

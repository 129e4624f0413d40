"""All that is in a namespace at once: written when it is created, read when it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from skybus import clock
from skybus.errors import Conflict
from skybus.image.metadefs.bounds import check_room
from skybus.image.metadefs.namespaces import Namespace
from skybus.image.metadefs.objects import object_all, object_insert
from skybus.image.metadefs.properties import property_all, property_insert_all
from skybus.image.metadefs.resource_types import association_insert, associations_of
from skybus.image.metadefs.tags import tag_insert, tag_names
from skybus.image.metadefs.views import namespace_view, object_view, properties_view, tags_view


async def contents_insert(tx: Any, namespace: str, said: Mapping[str, Any]) -> None:
    """Fill a new namespace with what a request says. Raises Conflict for a name said twice, TooLarge for too much."""
    for one in said.get("resource_type_associations", []):
        if await association_insert(tx, namespace, one) is None:
            raise Conflict(f"Resource type {one['name']} is associated twice.")
    # A microsecond lies between one and the next, so that they keep the order in which they were said.
    now = clock.now()
    for place, one in enumerate(said.get("objects", [])):
        if await object_insert(tx, namespace, one, now + timedelta(microseconds=place)) is None:
            raise Conflict(f"There are two objects called {one['name']}.")
    names = [one["name"] for one in said.get("tags", [])]
    if len(await tag_insert(tx, namespace, names)) < len(names):
        raise Conflict("There are two tags of one name.")
    await property_insert_all(tx, namespace, said.get("properties", {}))
    await check_room(tx, namespace)


async def contents_view(store: Any, found: Namespace) -> dict[str, Any]:
    """The namespace with everything in it; what it has none of is left out."""
    name = found.namespace
    associations = await associations_of(store, [name])
    view = namespace_view(found, associations[name])
    contents: dict[str, Any] = {
        "objects": [object_view(row) for row in await object_all(store, name)],
        "properties": properties_view(await property_all(store, name)),
        "tags": tags_view(await tag_names(store, name)),
    }
    return {**view, **{kind: some for kind, some in contents.items() if some}}

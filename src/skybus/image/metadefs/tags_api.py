"""Routes of the tags of a metadata definition namespace."""

from __future__ import annotations

import re

from skybus.errors import BadRequest, Conflict
from skybus.http.call import Call, Reply
from skybus.http.paging import page_of
from skybus.http.routes import NO_BODY, Route
from skybus.image.metadefs.announcements import announce
from skybus.image.metadefs.bounds import MOST, check_room
from skybus.image.metadefs.guards import FRONT, own_namespace, refuse_protected, refuse_read_only, seen_namespace
from skybus.image.metadefs.namespaces import Namespace
from skybus.image.metadefs.tags import (
    SORT_KEYS,
    tag_delete,
    tag_delete_all,
    tag_get,
    tag_insert,
    tag_list,
    tag_update,
)
from skybus.image.metadefs.views import NAMESPACES, tag_view, tags_view

READ_ONLY = ("created_at", "updated_at")
NAME = re.compile(r"[^\x00-\x1f\x7f/]{1,80}")
TRUE = ("1", "t", "true", "on", "y", "yes")


def _taken(found: Namespace, name: str) -> Conflict:
    return Conflict(f"A metadata definition tag with name={name} already exists in namespace={found.namespace}.")


async def create_tag(call: Call) -> Reply:
    """POST .../tags/{tag_name}."""
    name = call.args["tag_name"]
    if NAME.fullmatch(name) is None:
        raise BadRequest("A tag's name has at most 80 characters, and no control character.")
    async with call.transaction() as tx:
        found = await own_namespace(call, tx, "add_metadef_tag")
        rows = await tag_insert(tx, found.namespace, [name])
        if not rows:
            raise _taken(found, name)
        await check_room(tx, found.namespace)
        announce(tx, found, "tag", "created", name)
    return Reply(tag_view(rows[0]), 201)


async def create_tags(call: Call) -> Reply:
    """POST .../tags: in the place of those that are there, unless `X-Openstack-Append` says otherwise."""
    refuse_read_only(call.body, READ_ONLY)
    names = [one["name"] for one in call.body.get("tags", [])]
    append = call.headers.get("X-Openstack-Append", "").strip().lower() in TRUE
    async with call.transaction() as tx:
        found = await own_namespace(call, tx, "add_metadef_tags")
        if names and not append:
            await tag_delete_all(tx, found.namespace)
        if len(await tag_insert(tx, found.namespace, names)) < len(names):
            raise Conflict(f"Not all tags are new, or one is said twice, in namespace={found.namespace}.")
        await check_room(tx, found.namespace)
        if names:
            announce(tx, found, "tag", "created" if append else "updated", None)
    return Reply({"tags": tags_view(names)}, 201)


async def list_tags(call: Call) -> Reply:
    """GET .../tags: all, unless a limit is said."""
    found = await seen_namespace(call, call.store, "get_metadef_tags")
    page = page_of(call, keys=SORT_KEYS, default_sort="created_at", max_limit=MOST["tags"])
    return Reply({"tags": tags_view(await tag_list(call.store, found.namespace, page))})


async def show_tag(call: Call) -> Reply:
    """GET .../tags/{tag_name}."""
    found = await seen_namespace(call, call.store, "get_metadef_tag")
    return Reply(tag_view(await tag_get(call.store, found.namespace, call.args["tag_name"])))


async def update_tag(call: Call) -> Reply:
    """PUT .../tags/{tag_name}: another name."""
    refuse_read_only(call.body, READ_ONLY)
    async with call.transaction() as tx:
        found = await own_namespace(call, tx, "modify_metadef_tag")
        old = await tag_get(tx, found.namespace, call.args["tag_name"])
        row = await tag_update(tx, found.namespace, old["name"], call.body["name"])
        if row is None:
            raise _taken(found, call.body["name"])
        announce(tx, found, "tag", "updated", row["name"], old_name=old["name"])
    return Reply(tag_view(row))


async def delete_tag(call: Call) -> Reply:
    """DELETE .../tags/{tag_name}."""
    async with call.transaction() as tx:
        found = await own_namespace(call, tx, "delete_metadef_tag")
        row = await tag_get(tx, found.namespace, call.args["tag_name"])
        refuse_protected(found, f"tag {row['name']}")
        await tag_delete(tx, found.namespace, row["name"])
        announce(tx, found, "tag", "deleted", row["name"])
    return Reply(status=204)


TAGS = NAMESPACES + "/{namespace}/tags"
TAG = TAGS + "/{tag_name}"
ROUTES: list[Route] = [
    Route(method="POST", path=TAGS, handler=create_tags, policy=FRONT, body="image/metadef-tags-create"),
    Route(method="GET", path=TAGS, handler=list_tags, policy=FRONT, body=NO_BODY),
    Route(method="POST", path=TAG, handler=create_tag, policy=FRONT, body=NO_BODY),
    Route(method="GET", path=TAG, handler=show_tag, policy=FRONT, body=NO_BODY),
    Route(method="PUT", path=TAG, handler=update_tag, policy=FRONT, body="image/metadef-tag-update"),
    Route(method="DELETE", path=TAG, handler=delete_tag, policy=FRONT, body=NO_BODY),
]

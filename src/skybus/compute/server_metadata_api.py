"""Routes of a server's metadata and of its tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skybus.compute import quotas
from skybus.compute.servers import server_change, server_lock
from skybus.compute.servers_api import seen, unlocked
from skybus.errors import BadRequest, Conflict, Forbidden, NotFound
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.http.versions import Version

META = "os_compute_api:server-metadata:"
TAGS = "os_compute_api:os-server-tags:"
TAGS_SINCE: Version = (2, 26)
MOST_TAGS = 50
LONGEST_TAG = 60


async def _rewrite(call: Call, change: Callable[[dict[str, str]], dict[str, str]]) -> dict[str, str]:
    """Replace the metadata by what `change` makes of it. Raises Forbidden when that is too much."""
    row = await seen(call)
    async with call.transaction() as tx:
        server = await server_lock(tx, row["id"])
        unlocked(call, server)
        _check_alive(server, "update_instance_metadata")
        metadata = change(dict(server["metadata"]))
        most = (await quotas.quota_limits(tx, row["project_id"]))["metadata_items"]
        if len(metadata) > max(len(server["metadata"]), most) and most >= 0:
            raise Forbidden(f"Maximum number of metadata items exceeds {most}")
        await server_change(tx, server, metadata=metadata)
    return metadata


def _check_alive(server: Any, action: str) -> None:
    if server["deleted"]:
        raise Conflict(f"Cannot '{action}' instance {server['id']} while it is in vm_state deleted")


async def list_metadata(call: Call) -> Reply:
    """All of it."""
    return Reply({"metadata": (await seen(call))["metadata"]})


async def add_metadata(call: Call) -> Reply:
    """Set items beside those that are there."""
    return Reply({"metadata": await _rewrite(call, lambda old: {**old, **call.body["metadata"]})})


async def replace_metadata(call: Call) -> Reply:
    """Set all of it."""
    return Reply({"metadata": await _rewrite(call, lambda old: call.body["metadata"])})


async def show_item(call: Call) -> Reply:
    """One item."""
    metadata, key = (await seen(call))["metadata"], call.args["key"]
    if key not in metadata:
        raise NotFound("Metadata item was not found")
    return Reply({"meta": {key: metadata[key]}})


async def set_item(call: Call) -> Reply:
    """Set one item, which the body must name like the path."""
    meta = call.body["meta"]
    if set(meta) != {call.args["key"]}:
        raise BadRequest("Request body and URI mismatch")
    await _rewrite(call, lambda old: {**old, **meta})
    return Reply({"meta": meta})


async def delete_item(call: Call) -> Reply:
    """Remove one item."""
    key = call.args["key"]

    def without(old: dict[str, str]) -> dict[str, str]:
        if key not in old:
            raise NotFound("Metadata item was not found")
        return {name: value for name, value in old.items() if name != key}

    await _rewrite(call, without)
    return Reply(status=204)


async def _retag(call: Call, change: Callable[[list[str]], list[str]]) -> list[str]:
    row = await seen(call)
    async with call.transaction() as tx:
        server = await server_lock(tx, row["id"])
        _check_alive(server, "update tags of")
        tags = change(list(server["tags"]))
        if tags != server["tags"]:
            await server_change(tx, server, tags=tags)
    return tags


async def list_tags(call: Call) -> Reply:
    """All tags."""
    return Reply({"tags": (await seen(call))["tags"]})


async def replace_tags(call: Call) -> Reply:
    """Set all tags."""
    return Reply({"tags": await _retag(call, lambda old: list(dict.fromkeys(call.body["tags"])))})


async def delete_tags(call: Call) -> Reply:
    """Remove all tags."""
    await _retag(call, lambda old: [])
    return Reply(status=204)


async def check_tag(call: Call) -> Reply:
    """Whether the server has a tag."""
    row, tag = await seen(call), call.args["tag"]
    if tag not in row["tags"]:
        raise NotFound(f"Server {row['id']} has no tag '{tag[:LONGEST_TAG]}'")
    return Reply(status=204)


async def add_tag(call: Call) -> Reply:
    """Add a tag: 201 when it is new, 204 when the server had it."""
    tag, had = call.args["tag"], False
    if not 0 < len(tag) <= LONGEST_TAG or "," in tag or "/" in tag:
        raise BadRequest(f"Tag {tag[:LONGEST_TAG]!r} is invalid: 1 to {LONGEST_TAG} characters without , and /.")

    def added(old: list[str]) -> list[str]:
        nonlocal had
        had = tag in old
        if not had and len(old) >= MOST_TAGS:
            raise BadRequest(f"The number of tags exceeded the per-server limit {MOST_TAGS}")
        return old if had else [*old, tag]

    await _retag(call, added)
    if had:
        return Reply(status=204)
    location = f"{call.base}/servers/{call.args['id']}/tags/{tag}"
    return Reply(status=201, headers={"Location": location} if location.isascii() and location.isprintable() else {})


async def delete_tag(call: Call) -> Reply:
    """Remove a tag."""
    tag = call.args["tag"]

    def without(old: list[str]) -> list[str]:
        if tag not in old:
            raise NotFound(f"Server {call.args['id']} has no tag '{tag[:LONGEST_TAG]}'")
        return [one for one in old if one != tag]

    await _retag(call, without)
    return Reply(status=204)


def _meta(method: str, path: str, handler: Any, action: str, body: str = NO_BODY) -> Route:
    path = f"/servers/{{id}}/metadata{path}"
    return Route(method=method, path=path, handler=handler, policy=META + action, body=body)


def _tag(method: str, path: str, handler: Any, action: str, body: str = NO_BODY) -> Route:
    path = f"/servers/{{id}}/tags{path}"
    return Route(method=method, path=path, handler=handler, policy=TAGS + action, body=body, since=TAGS_SINCE)


ROUTES: list[Route] = [
    _meta("GET", "", list_metadata, "index"),
    _meta("POST", "", add_metadata, "create", "compute/server-metadata"),
    _meta("PUT", "", replace_metadata, "update_all", "compute/server-metadata"),
    _meta("GET", "/{key}", show_item, "show"),
    _meta("PUT", "/{key}", set_item, "update", "compute/server-metadata-item"),
    _meta("DELETE", "/{key}", delete_item, "delete"),
    _tag("GET", "", list_tags, "index"),
    _tag("PUT", "", replace_tags, "update_all", "compute/server-tags"),
    _tag("DELETE", "", delete_tags, "delete_all"),
    _tag("GET", "/{tag}", check_tag, "show"),
    _tag("PUT", "/{tag}", add_tag, "update"),
    _tag("DELETE", "/{tag}", delete_tag, "delete"),
]

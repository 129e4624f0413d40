"""Routes of volumes: create, list, show, update, delete."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest, NotFound
from skybus.http.call import Call, Reply
from skybus.http.paging import next_url, page_of
from skybus.http.routes import NO_BODY, Route
from skybus.ids import new_id
from skybus.messages.volume import VolumeRequested
from skybus.saga.operations import operation_start
from skybus.volume.forms import boolean, both, collection, owner_of
from skybus.volume.quotas import quota_check
from skybus.volume.types import type_named
from skybus.volume.volume_filters import conditions_of
from skybus.volume.volume_views import Viewer
from skybus.volume.volumes import (
    SORT_KEYS,
    check_deletable,
    volume_change,
    volume_count,
    volume_delete_start,
    volume_get,
    volume_insert,
    volume_list,
    volume_seen,
    volume_summary,
)
from skybus.volume.zones import zone_check

MAX_GIB = 65_536
"""The largest volume that the cloud makes: 64 TiB."""


async def seen_volume(call: Call, store: Any, rule: str) -> Any:
    """The row of the volume that the path names, its attachment with it, if the caller may do `rule` to it."""
    row = await volume_seen(store, call.args["volume_id"], project_id=owner_of(call))
    call.require(rule, project_id=row["project_id"])
    return row


async def locked_volume(call: Call, tx: Any, rule: str) -> Any:
    """Like `seen_volume`, and nobody changes it before the transaction ends."""
    await volume_get(tx, call.args["volume_id"], lock=True)
    return await seen_volume(call, tx, rule)


async def create_volume(call: Call) -> Reply:
    """POST /volumes: accept, count, and begin the operation that makes it."""
    asked = call.body["volume"]
    project_id = call.project_id
    async with call.transaction() as tx:
        await _check_source(tx, asked, project_id)
        volume = {
            "id": new_id(),
            "project_id": project_id,
            "user_id": call.caller.user_id,
            "name": asked.get("name", asked.get("display_name")),
            "description": asked.get("description", asked.get("display_description")),
            "size_gib": _size(asked.get("size")),
            "metadata": asked.get("metadata") or {},
            "availability_zone": await zone_check(tx, asked.get("availability_zone")),
        }
        kind = await type_named(tx, asked.get("volume_type"), project_id=project_id)
        await volume_insert(tx, {**volume, "type_id": kind["id"]})
        await quota_check(tx, project_id, volume["size_gib"])
        requested = VolumeRequested(
            volume_id=volume["id"],
            name=volume["name"] or "",
            size_gib=volume["size_gib"],
            volume_type=kind["name"],
        )
        tx.publish(requested)
        await operation_start(tx, "volume_create", resource_type="volume", resource_id=volume["id"])
        row = await volume_get(tx, volume["id"])
    view = Viewer(call).created(row)
    return Reply({"volume": view}, 202, headers={"Location": f"{collection(call, 'volumes')}/{row['id']}"})


def _size(asked: Any) -> int:
    if isinstance(asked, str) and asked.isascii() and asked.isdecimal() and len(asked) < 10:
        asked = int(asked)
    if not isinstance(asked, int) or isinstance(asked, bool) or asked < 1:
        raise BadRequest(
            f"Invalid input received: Invalid volume size provided for create request: {str(asked)[:32]} (size "
            "argument must be an integer (or string representation of an integer) and greater than zero)."
        )
    if asked > MAX_GIB:
        raise BadRequest(f"Invalid input received: a volume has at most {MAX_GIB} GiB.")
    return asked


async def _check_source(tx: Any, asked: dict[str, Any], project_id: str) -> None:
    """A volume begins empty: whatever else it should begin as is refused, honestly. Raises NotFound, BadRequest."""
    if asked.get("snapshot_id"):
        raise NotFound(f"Snapshot {asked['snapshot_id']} could not be found.")
    if asked.get("backup_id"):
        raise NotFound(f"Backup {asked['backup_id']} could not be found.")
    if asked.get("group_id") or asked.get("consistencygroup_id"):
        raise NotFound(f"Group {asked.get('group_id') or asked.get('consistencygroup_id')} could not be found.")
    if asked.get("source_volid"):
        await volume_seen(tx, asked["source_volid"], project_id=project_id)
        raise BadRequest("This cloud does not clone volumes.")
    if asked.get("imageRef"):
        raise BadRequest("This cloud does not make volumes from images.")
    if asked.get("multiattach") not in (None, False) and boolean(asked["multiattach"], "multiattach"):
        raise BadRequest("This cloud does not attach one volume to several servers.")


async def list_volumes(call: Call) -> Reply:
    """GET /volumes."""
    return await _list(call, detail=False)


async def list_volumes_in_detail(call: Call) -> Reply:
    """GET /volumes/detail."""
    return await _list(call, detail=True)


async def _list(call: Call, detail: bool) -> Reply:
    page = page_of(call, keys=SORT_KEYS, default_sort="created_at")
    where = conditions_of(call)
    body: dict[str, Any] = {}
    if call.version >= (3, 45) and boolean(call.query.get("with_count", "false"), "with_count"):
        body["count"] = await volume_count(call.store, where)
    rows = await volume_list(call.store, where, page)
    viewer = Viewer(call)
    show = viewer.full if detail else viewer.brief
    body["volumes"] = [show(row) for row in rows[: page.limit]]
    # Cinder links from every full page, so that a list may end with an empty one; its clients count on that.
    if len(rows) >= page.limit > 0:
        path = collection(call, "volumes/detail" if detail else "volumes")
        href = next_url(call, path, rows[page.limit - 1]["id"], page.limit)
        body["volumes_links"] = [{"rel": "next", "href": href}]
    return Reply(body)


async def summarise_volumes(call: Call) -> Reply:
    """GET /volumes/summary: how many, and how large together; from 3.36 on with all metadata."""
    summary = await volume_summary(call.store, conditions_of(call))
    if call.version < (3, 36):
        del summary["metadata"]
    return Reply({"volume-summary": summary})


async def show_volume(call: Call) -> Reply:
    """GET /volumes/{volume_id}."""
    return Reply({"volume": Viewer(call).full(await seen_volume(call, call.store, "volume:get"))})


async def update_volume(call: Call) -> Reply:
    """PUT /volumes/{volume_id}: name, description, metadata."""
    asked = call.body["volume"]
    columns: dict[str, Any] = {}
    for name in ("name", "description"):
        if name in asked or f"display_{name}" in asked:
            columns[name] = asked.get(name, asked.get(f"display_{name}"))
    if asked.get("metadata") is not None:
        columns["metadata"] = asked["metadata"]
    async with call.transaction() as tx:
        row = await locked_volume(call, tx, "volume:update")
        await volume_change(tx, row, **columns)
        row = await volume_seen(tx, row["id"], project_id=None)
    return Reply({"volume": Viewer(call).created(row)})


async def delete_volume(call: Call) -> Reply:
    """DELETE /volumes/{volume_id}. `cascade` and `force` ask for nothing that a volume of ours has."""
    async with call.transaction() as tx:
        row = await locked_volume(call, tx, "volume:delete")
        if row["status"] != "deleting":
            check_deletable(row, attached=row["attachment_id"] is not None)
            await volume_delete_start(tx, row["id"])
    return Reply(status=202)


VOLUME = "/volumes/{volume_id}"
ROUTES: list[Route] = both(
    Route(method="POST", path="/volumes", handler=create_volume, policy="volume:create", body="volume/volume-create"),
    Route(method="GET", path="/volumes", handler=list_volumes, policy="volume:get_all", body=NO_BODY),
    Route(method="GET", path="/volumes/detail", handler=list_volumes_in_detail, policy="volume:get_all", body=NO_BODY),
    Route(
        method="GET",
        path="/volumes/summary",
        handler=summarise_volumes,
        policy="volume:get_all",
        body=NO_BODY,
        since=(3, 12),
    ),
    Route(method="GET", path=VOLUME, handler=show_volume, policy="volume:get", body=NO_BODY),
    Route(method="PUT", path=VOLUME, handler=update_volume, policy="volume:update", body="volume/volume-update"),
    Route(method="DELETE", path=VOLUME, handler=delete_volume, policy="volume:delete", body=NO_BODY),
)

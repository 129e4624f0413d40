"""Routes of volume metadata."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest, NotFound
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.volume.forms import both
from skybus.volume.volumes import volume_change
from skybus.volume.volumes_api import locked_volume, seen_volume

MAX_ITEMS = 128


async def list_metadata(call: Call) -> Reply:
    """GET .../metadata."""
    row = await seen_volume(call, call.store, "volume:get_volume_metadata")
    return Reply({"metadata": row["metadata"]})


async def add_metadata(call: Call) -> Reply:
    """POST .../metadata: add to what is there."""
    metadata = await _write(call, "volume:create_volume_metadata", call.body["metadata"], keep=True)
    return Reply({"metadata": {key: metadata[key] for key in call.body["metadata"]}})


async def replace_metadata(call: Call) -> Reply:
    """PUT .../metadata: exactly this."""
    return Reply({"metadata": await _write(call, "volume:update_volume_metadata", call.body["metadata"], keep=False)})


async def show_item(call: Call) -> Reply:
    """GET .../metadata/{key}."""
    row = await seen_volume(call, call.store, "volume:get_volume_metadata")
    return Reply({"meta": {call.args["key"]: _item(row, call.args["key"])}})


async def put_item(call: Call) -> Reply:
    """PUT .../metadata/{key}."""
    meta = call.body["meta"]
    if list(meta) != [call.args["key"]]:
        raise BadRequest("Request body and URI mismatch: the body must hold exactly the item that the path names.")
    await _write(call, "volume:update_volume_metadata", meta, keep=True)
    return Reply({"meta": meta})


async def delete_item(call: Call) -> Reply:
    """DELETE .../metadata/{key}."""
    key = call.args["key"]
    async with call.transaction() as tx:
        row = await locked_volume(call, tx, "volume:delete_volume_metadata")
        _item(row, key)
        await volume_change(tx, row, metadata={name: value for name, value in row["metadata"].items() if name != key})
    return Reply(status=200)


def _item(row: Any, key: str) -> str:
    if key not in row["metadata"]:
        raise NotFound(f"Volume {row['id']} has no metadata with key {key[:64]}.")
    value: str = row["metadata"][key]
    return value


async def _write(call: Call, rule: str, items: dict[str, str], *, keep: bool) -> dict[str, str]:
    async with call.transaction() as tx:
        row = await locked_volume(call, tx, rule)
        metadata = {**(row["metadata"] if keep else {}), **items}
        if len(metadata) > MAX_ITEMS:
            raise BadRequest(f"A volume may have {MAX_ITEMS} metadata items.")
        await volume_change(tx, row, metadata=metadata)
    return metadata


METADATA = "/volumes/{volume_id}/metadata"
ITEM = METADATA + "/{key}"
SCHEMA = "volume/metadata"
ROUTES: list[Route] = both(
    Route(method="GET", path=METADATA, handler=list_metadata, policy="volume:get_volume_metadata", body=NO_BODY),
    Route(method="POST", path=METADATA, handler=add_metadata, policy="volume:create_volume_metadata", body=SCHEMA),
    Route(method="PUT", path=METADATA, handler=replace_metadata, policy="volume:update_volume_metadata", body=SCHEMA),
    Route(method="GET", path=ITEM, handler=show_item, policy="volume:get_volume_metadata", body=NO_BODY),
    Route(
        method="PUT", path=ITEM, handler=put_item, policy="volume:update_volume_metadata", body="volume/metadata-item"
    ),
    Route(method="DELETE", path=ITEM, handler=delete_item, policy="volume:delete_volume_metadata", body=NO_BODY),
)

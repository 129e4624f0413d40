"""What is done to a volume by `POST /volumes/{volume_id}/action`: the body's only key names the action."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from skybus.errors import BadRequest
from skybus.http.call import Call, Reply
from skybus.http.routes import Route
from skybus.volume.forms import boolean, both
from skybus.volume.volumes import volume_change
from skybus.volume.volumes_api import locked_volume, seen_volume

Action = Callable[[Call, Mapping[str, Any]], Awaitable[Reply]]


async def act(call: Call) -> Reply:
    """POST .../action. Raises NotFound, and BadRequest for an action that this cloud does not have."""
    [(name, asked)] = call.body.items()
    action = ACTIONS.get(name)
    if action is None:
        await seen_volume(call, call.store, "volume:update")
        raise BadRequest(f"There is no such action: {name[:64]}")
    return await action(call, asked)


async def set_bootable(call: Call, asked: Mapping[str, Any]) -> Reply:
    """os-set_bootable: whether the volume is said to hold a system that boots."""
    bootable = boolean(asked["bootable"], "bootable")
    async with call.transaction() as tx:
        row = await locked_volume(call, tx, "volume:update")
        await volume_change(tx, row, bootable=bootable)
    return Reply()


ACTIONS: Mapping[str, Action] = MappingProxyType({"os-set_bootable": set_bootable})
ROUTES: list[Route] = both(
    Route(
        method="POST",
        path="/volumes/{volume_id}/action",
        handler=act,
        policy="volume:update",
        body="volume/volume-action",
    ),
)

"""Routes of image members."""

from __future__ import annotations

from typing import Any

from skybus.errors import Conflict, Forbidden, NotFound, TooLarge
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.image.image_views import member_view
from skybus.image.images import Image
from skybus.image.images_api import own_image, seen_image
from skybus.image.members import (
    MAX_MEMBERS,
    member_count,
    member_delete,
    member_get,
    member_insert,
    member_list,
    member_set_status,
)
from skybus.messages.image import ImageMemberChanged


def _shared(image: Image) -> Image:
    if image.visibility != "shared":
        raise Forbidden("Only shared images have members.")
    return image


def _no_member(call: Call) -> NotFound:
    return NotFound(f"{call.args['member_id'][:64]} is not a member of image {call.args['image_id'][:64]}.")


def _sees_all(call: Call, image: Image) -> bool:
    return "admin" in call.caller.roles or call.caller.project_id == image.owner


async def add_member(call: Call) -> Reply:
    """POST .../members: offer a shared image to a project."""
    async with call.transaction() as tx:
        image = _shared(await own_image(call, tx, "add_member"))
        member_id = call.body["member"]
        row = await member_insert(tx, image.id, member_id)
        if row is None:
            raise Conflict(f"{member_id} is already a member of image {image.id}.")
        if await member_count(tx, image.id) > MAX_MEMBERS:
            raise TooLarge(f"An image may be shared with {MAX_MEMBERS} projects.")
        _announce(tx, image, member_id, "offered")
    return Reply(member_view(row))


async def list_members(call: Call) -> Reply:
    """GET .../members: the owner sees all, a member itself."""
    image = _shared(await seen_image(call, call.store, "get_members"))
    rows = await member_list(call.store, image.id)
    shown = [member_view(row) for row in rows if _sees_all(call, image) or row["member_id"] == call.caller.project_id]
    return Reply({"members": shown, "schema": "/v2/schemas/members"})


async def show_member(call: Call) -> Reply:
    """GET .../members/{member_id}."""
    image = await seen_image(call, call.store, "get_member")
    member_id = call.args["member_id"]
    row = await member_get(call.store, image.id, member_id)
    if row is None or not (_sees_all(call, image) or member_id == call.caller.project_id):
        raise _no_member(call)
    return Reply(member_view(row))


async def update_member(call: Call) -> Reply:
    """PUT .../members/{member_id}: the project that it was offered to accepts or rejects. The owner cannot for it."""
    member_id = call.args["member_id"]
    async with call.transaction() as tx:
        image = _shared(await seen_image(call, tx, "get_member"))
        if await member_get(tx, image.id, member_id) is None:
            raise _no_member(call)
        call.require("modify_member", member_id=member_id)
        row = await member_set_status(tx, image.id, member_id, call.body["status"])
        if row is None:
            raise _no_member(call)
        _announce(tx, image, member_id, call.body["status"])
    return Reply(member_view(row))


async def remove_member(call: Call) -> Reply:
    """DELETE .../members/{member_id}."""
    member_id = call.args["member_id"]
    async with call.transaction() as tx:
        image = _shared(await own_image(call, tx, "delete_member"))
        if not await member_delete(tx, image.id, member_id):
            raise _no_member(call)
        _announce(tx, image, member_id, "removed")
    return Reply(status=204)


def _announce(tx: Any, image: Image, member_id: str, change: Any) -> None:
    event = ImageMemberChanged(image_id=image.id, member_id=member_id, change=change)
    tx.publish(event, project_id=image.owner)


MEMBERS = "/v2/images/{image_id}/members"
MEMBER = MEMBERS + "/{member_id}"
ROUTES: list[Route] = [
    Route(method="POST", path=MEMBERS, handler=add_member, policy="add_member", body="image/member-create"),
    Route(method="GET", path=MEMBERS, handler=list_members, policy="get_members", body=NO_BODY),
    Route(method="GET", path=MEMBER, handler=show_member, policy="get_member", body=NO_BODY),
    # modify_member speaks of the member alone, whom the handler knows; the front asks whether members may be seen.
    Route(method="PUT", path=MEMBER, handler=update_member, policy="get_member", body="image/member-update"),
    Route(method="DELETE", path=MEMBER, handler=remove_member, policy="delete_member", body=NO_BODY),
]

"""Routes of images: create, show, list, change, delete, take out of use."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import structlog

from skybus import clock
from skybus.errors import CloudError, Conflict, Forbidden
from skybus.http.call import Call, Reply
from skybus.http.paging import next_url, page_of
from skybus.http.routes import NO_BODY, Route
from skybus.ids import new_id
from skybus.image import patches
from skybus.image.filters import conditions_of
from skybus.image.image_views import image_view, view_of
from skybus.image.images import (
    SORT_KEYS,
    Image,
    image_delete,
    image_get,
    image_insert,
    image_list,
    image_seen,
    image_set_status,
    image_update,
)
from skybus.image.quotas import check_count
from skybus.image.store import ImageStore
from skybus.messages.image import ImageCreated, ImageDeleted, ImageUpdated

log = structlog.get_logger()

PAGE = 25


def images_of(call: Call) -> ImageStore:
    """Where the data is."""
    images: ImageStore = call.service("images")
    return images


async def seen_image(call: Call, store: Any, rule: str) -> Image:
    """The image that the path names, if the caller may do `rule` to it. Raises NotFound when it may not even know of
    it, Forbidden when it may not touch it."""
    admin = "admin" in call.caller.roles
    image = await image_seen(store, call.args["image_id"], project_id=call.caller.project_id, is_admin=admin)
    member = call.caller.project_id if image.visibility == "shared" else ""
    call.require(rule, project_id=image.owner, visibility=image.visibility, member_id=member)
    return image


async def own_image(call: Call, tx: Any, rule: str) -> Image:
    """Like `seen_image`, and nobody else changes it before the transaction ends."""
    await image_get(tx, call.args["image_id"], lock=True)
    return await seen_image(call, tx, rule)


def require_visibility(call: Call, owner: str, visibility: str) -> None:
    """Raises Forbidden when the caller may not make images public or community."""
    rule = {"public": "publicize_image", "community": "communitize_image"}.get(visibility)
    if rule is not None:
        call.require(rule, project_id=owner)


async def create_image(call: Call) -> Reply:
    """POST /v2/images: register an image; its data comes later."""
    body = dict(call.body)
    asked = body.pop("id", None)
    image_id = str(UUID(asked)) if asked else new_id()
    owner = body.pop("owner", None) or call.project_id
    attributes = {name: body.pop(name) for name in patches.ATTRIBUTES if name in body}
    patches.check_names(body)
    call.require("add_image", project_id=owner)
    image = _new(image_id, owner, attributes, body)
    require_visibility(call, owner, image.visibility)
    async with call.transaction() as tx:
        if not await image_insert(tx, image):
            raise Conflict(f"Image ID {image.id} already exists!")
        await check_count(tx, owner)
        created = ImageCreated(image_id=image.id, name=image.name or "", visibility=image.visibility)
        tx.publish(created, project_id=owner)
    return Reply(view_of(image), 201, headers={"Location": f"{call.base}/v2/images/{image.id}"})


def _new(image_id: str, owner: str, attributes: dict[str, Any], properties: dict[str, str]) -> Image:
    now = clock.now()
    tags = sorted(set(attributes.get("tags", ())))
    patches.check_amounts(properties, tags)
    return Image(
        id=image_id,
        owner=owner,
        name=attributes.get("name"),
        status="queued",
        visibility=attributes.get("visibility", "shared"),
        disk_format=attributes.get("disk_format"),
        container_format=attributes.get("container_format"),
        min_disk=attributes.get("min_disk", 0),
        min_ram=attributes.get("min_ram", 0),
        protected=attributes.get("protected", False),
        os_hidden=attributes.get("os_hidden", False),
        tags=tags,
        properties=properties,
        size=None,
        virtual_size=None,
        checksum=None,
        os_hash_value=None,
        data_name=None,
        created_at=now,
        updated_at=now,
    )


async def list_images(call: Call) -> Reply:
    """GET /v2/images."""
    page = page_of(call, keys=SORT_KEYS, default_sort="created_at", default_limit=PAGE)
    rows = await image_list(call.store, conditions_of(call), page)
    body: dict[str, Any] = {
        "images": [image_view(row) for row in rows[: page.limit]],
        "first": _first(call),
        "schema": "/v2/schemas/images",
    }
    if len(rows) > page.limit > 0:
        body["next"] = next_url(call, "/v2/images", rows[page.limit - 1]["id"])
    return Reply(body)


def _first(call: Call) -> str:
    query = call.request.query_string
    return f"/v2/images?{query}" if query else "/v2/images"


async def show_image(call: Call) -> Reply:
    """GET /v2/images/{image_id}."""
    image = await seen_image(call, call.store, "get_image")
    return Reply(view_of(image))


async def update_image(call: Call) -> Reply:
    """PATCH /v2/images/{image_id}."""
    changes = patches.changes_of(call.request.content_type, call.body)
    async with call.transaction() as tx:
        image = await own_image(call, tx, "modify_image")
        changed = patches.patched(image, changes, is_admin="admin" in call.caller.roles)
        if changed.visibility != image.visibility:
            require_visibility(call, image.owner, changed.visibility)
        names = patches.changed_names(image, changed)
        if names:
            changed = await image_update(tx, changed)
            tx.publish(ImageUpdated(image_id=image.id, changed=names), project_id=changed.owner)
        if changed.owner != image.owner:
            await check_count(tx, changed.owner)
    return Reply(view_of(changed))


async def delete_image(call: Call) -> Reply:
    """DELETE /v2/images/{image_id}: the row first, then the data, which a sweep removes should we die in between."""
    async with call.transaction() as tx:
        image = await own_image(call, tx, "delete_image")
        if image.protected:
            raise Forbidden(f"Image {image.id} is protected and cannot be deleted.")
        await image_delete(tx, image.id)
        tx.publish(ImageDeleted(image_id=image.id), project_id=image.owner)
    if image.data_name is not None:
        try:
            await asyncio.to_thread(images_of(call).remove, image.data_name)
        except CloudError as error:
            log.warning("image_data_left_for_the_sweep", image_id=image.id, reason=error.reason)
    return Reply(status=204)


async def deactivate_image(call: Call) -> Reply:
    """POST .../actions/deactivate: the data may not be read until it is reactivated."""
    return await _set_status(call, "deactivate", "deactivated")


async def reactivate_image(call: Call) -> Reply:
    """POST .../actions/reactivate."""
    return await _set_status(call, "reactivate", "active")


async def _set_status(call: Call, rule: str, status: str) -> Reply:
    async with call.transaction() as tx:
        image = await own_image(call, tx, rule)
        if image.status not in ("active", "deactivated"):
            raise Forbidden(f"Not allowed to {rule} image in status '{image.status}'")
        if image.status != status:
            await image_set_status(tx, image.id, status)
            tx.publish(ImageUpdated(image_id=image.id, changed=["status"]), project_id=image.owner)
    return Reply(status=204)


IMAGE = "/v2/images/{image_id}"
ROUTES: list[Route] = [
    Route(method="POST", path="/v2/images", handler=create_image, policy="add_image", body="image/image-create"),
    Route(method="GET", path="/v2/images", handler=list_images, policy="get_images", body=NO_BODY),
    Route(method="GET", path=IMAGE, handler=show_image, policy="get_image", body=NO_BODY),
    Route(method="PATCH", path=IMAGE, handler=update_image, policy="modify_image", body="image/image-patch"),
    Route(method="DELETE", path=IMAGE, handler=delete_image, policy="delete_image", body=NO_BODY),
    Route(
        method="POST",
        path=f"{IMAGE}/actions/deactivate",
        handler=deactivate_image,
        policy="deactivate",
        body=NO_BODY,
    ),
    Route(
        method="POST",
        path=f"{IMAGE}/actions/reactivate",
        handler=reactivate_image,
        policy="reactivate",
        body=NO_BODY,
    ),
]

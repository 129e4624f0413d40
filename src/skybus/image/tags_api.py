"""Routes of image tags."""

from __future__ import annotations

from skybus.errors import BadRequest, NotFound
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.image.images import image_tag, image_untag
from skybus.image.images_api import own_image
from skybus.image.patches import check_amounts
from skybus.messages.image import ImageUpdated


async def add_tag(call: Call) -> Reply:
    """PUT .../tags/{tag}. Content to find it there."""
    tag = call.args["tag"]
    if len(tag) > 255:
        raise BadRequest("A tag may have 255 characters.")
    async with call.transaction() as tx:
        image = await own_image(call, tx, "modify_image")
        if tag not in image.tags:
            check_amounts({}, [*image.tags, tag])
            await image_tag(tx, image.id, tag)
            tx.publish(ImageUpdated(image_id=image.id, changed=["tags"]), project_id=image.owner)
    return Reply(status=204)


async def remove_tag(call: Call) -> Reply:
    """DELETE .../tags/{tag}."""
    tag = call.args["tag"]
    async with call.transaction() as tx:
        image = await own_image(call, tx, "modify_image")
        if tag not in image.tags:
            raise NotFound(f"Image {image.id} has no tag {tag[:64]!r}.")
        await image_untag(tx, image.id, tag)
        tx.publish(ImageUpdated(image_id=image.id, changed=["tags"]), project_id=image.owner)
    return Reply(status=204)


TAG = "/v2/images/{image_id}/tags/{tag}"
ROUTES: list[Route] = [
    Route(method="PUT", path=TAG, handler=add_tag, policy="modify_image", body=NO_BODY),
    Route(method="DELETE", path=TAG, handler=remove_tag, policy="modify_image", body=NO_BODY),
]

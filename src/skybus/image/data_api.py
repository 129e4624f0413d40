"""Routes of image data: upload and download."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from aiohttp import web
from aiohttp.client_exceptions import ClientPayloadError
from aiohttp.http_exceptions import HttpProcessingError

from skybus.errors import BadRequest, Forbidden, NotFound, UnsupportedMedia
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, RAW, Route
from skybus.image.formats import ImageRefused, Inspector
from skybus.image.images import Image, image_get, not_found
from skybus.image.images_api import images_of, own_image, seen_image
from skybus.image.store import Incoming
from skybus.image.uploads import (
    Received,
    in_thread,
    receive,
    upload_begin,
    upload_finish,
    upload_give_up,
    upload_renew,
)
from skybus.messages.image import ImageRefused as ImageRefusedEvent

log = structlog.get_logger()

CHUNK = 256 << 10


async def upload_image(call: Call) -> Reply:
    """PUT /v2/images/{image_id}/file: the data, once; whatever goes wrong, the image is queued and no file is left."""
    if call.request.content_type != "application/octet-stream":
        raise UnsupportedMedia("Image data comes as application/octet-stream.")
    images = images_of(call)
    wanted = call.headers.get("X-Image-Meta-Store", images.store_id)
    if wanted != images.store_id:
        raise BadRequest(f"Store {wanted[:64]!r} is not one of this site's.")
    async with call.transaction() as tx:
        image = await own_image(call, tx, "upload_image")
        if image.disk_format is None or image.container_format is None:
            raise BadRequest("Properties disk_format, container_format must be set prior to saving data.")
        upload_id = await upload_begin(tx, image)
    incoming: Incoming | None = None
    try:
        incoming = await in_thread(images.receive, upload_id)
        await _take(call, image, upload_id, incoming)
    except BaseException as error:
        await _undo(call, image, upload_id, incoming, error)
        if isinstance(error, (ClientPayloadError, HttpProcessingError)):
            raise BadRequest("The image data ended before its time.") from error
        raise
    return Reply(status=204)


async def _take(call: Call, image: Image, upload_id: str, incoming: Incoming) -> None:
    inspector = await asyncio.to_thread(Inspector, image.disk_format or "", image.container_format or "")

    async def renew() -> None:
        await upload_renew(call.store, image.id, upload_id)

    chunks = aiter(call.request.content.iter_chunked(CHUNK))
    received: Received = await receive(images_of(call), incoming, chunks, inspector, renew)
    await in_thread(incoming.commit)
    # The file is durable before the row says that it is there; should this fail, it goes again.
    async with call.transaction() as tx:
        await upload_finish(tx, image, upload_id, received)
    log.info("image_uploaded", image_id=image.id, size=received.size, disk_format=image.disk_format)


async def _undo(call: Call, image: Image, upload_id: str, incoming: Incoming | None, error: BaseException) -> None:
    if incoming is not None:
        await in_thread(incoming.abort)
    async with call.transaction() as tx:
        useless = await upload_give_up(tx, image.id, upload_id)
        if isinstance(error, ImageRefused):
            log.warning("image_refused", image_id=image.id, reason=error.reason)
            tx.publish(ImageRefusedEvent(image_id=image.id, reason=error.reason), project_id=image.owner)
    if useless:
        await in_thread(images_of(call).remove, upload_id)


async def download_image(call: Call) -> Any:
    """GET /v2/images/{image_id}/file: all of the data, or the range that is asked for."""
    image = await _downloadable(call)
    if image.data_name is None:
        return Reply(status=204)
    path = images_of(call).path(image.data_name)
    if not await asyncio.to_thread(path.is_file):
        log.error("image_data_missing", image_id=image.id, path=str(path))
        raise NotFound(f"The data of image {image.id} could not be found.")
    response = web.FileResponse(path, chunk_size=CHUNK)
    response.content_type = "application/octet-stream"
    response.headers["Content-MD5"] = image.checksum or ""
    return response


async def _downloadable(call: Call) -> Image:
    """The image, if this caller may read its data; a host's token is good for the one image it names."""
    if call.caller.image_id is not None:
        if call.caller.image_id != call.args["image_id"]:
            raise not_found(call.args["image_id"])
        return await image_get(call.store, call.caller.image_id)
    image = await seen_image(call, call.store, "download_image")
    if image.status == "deactivated" and "admin" not in call.caller.roles:
        raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
    return image


FILE = "/v2/images/{image_id}/file"
ROUTES: list[Route] = [
    Route(method="PUT", path=FILE, handler=upload_image, policy="upload_image", body=RAW),
    Route(method="GET", path=FILE, handler=download_image, policy="download_image", body=NO_BODY),
]

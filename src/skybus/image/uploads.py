"""Uploads: one at a time for an image, held by a lease that data flowing in prolongs."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from skybus import clock
from skybus.errors import BadRequest, CloudError, Conflict, TooLarge
from skybus.ids import new_id
from skybus.image.formats import Inspector
from skybus.image.images import Image, image_get
from skybus.image.quotas import check_size
from skybus.image.store import ImageStore, Incoming
from skybus.messages.image import ImageUploaded

LEASE_SECONDS = 30
RENEW_SECONDS = 8.0
SILENCE_SECONDS = 60.0
"""A client that sends nothing for so long is given up."""
PIECE = 1 << 20
"""Bytes that are hashed, inspected and written in one go."""

BEGIN = f"""
UPDATE image.image SET upload_id = $2, upload_until = now() + interval '{LEASE_SECONDS} seconds'
 WHERE id = $1 AND status = 'queued' AND (upload_until IS NULL OR upload_until <= now())
RETURNING id
"""
RENEW = f"""
UPDATE image.image SET upload_until = now() + interval '{LEASE_SECONDS} seconds'
 WHERE id = $1 AND upload_id = $2 AND status = 'queued'
RETURNING id
"""
GIVE_UP = "UPDATE image.image SET upload_id = NULL, upload_until = NULL WHERE id = $1 AND upload_id = $2"
IN_USE = "SELECT true FROM image.image WHERE data_name = $1"
FINISH = """
UPDATE image.image
   SET status = 'active', size = $3, virtual_size = $4, checksum = $5, os_hash_value = $6, data_name = $2::uuid::text,
       upload_id = NULL, upload_until = NULL, updated_at = $7
 WHERE id = $1 AND upload_id = $2 AND status = 'queued'
RETURNING owner
"""


class UploadLost(CloudError):
    """The image went away, or to another upload, while its data came in."""

    code, status, title = "image.gone", 410, "Gone"


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """What came in."""

    size: int
    virtual_size: int
    md5: str
    sha512: str


async def upload_begin(tx: Any, image: Image) -> str:
    """Take `image` for one upload; the answer is the upload's id, which becomes the file's name. Raises Conflict."""
    upload_id = new_id()
    if await tx.fetchval(BEGIN, image.id, upload_id) is None:
        now = await image_get(tx, image.id)
        raise Conflict(f"Image status transition from {now.status} to saving is not allowed.")
    return upload_id


async def upload_renew(store: Any, image_id: str, upload_id: str) -> None:
    """Prolong the lease. Raises UploadLost."""
    if await store.fetchval(RENEW, image_id, upload_id) is None:
        raise UploadLost(f"Image {image_id} could not be found while it was uploaded; it may have been deleted.")


async def upload_give_up(tx: Any, image_id: str, upload_id: str) -> bool:
    """Let the image be queued again. False when the upload had been finished after all, and its data is in use: the
    connection may have died after the commit and before we heard of it."""
    await tx.execute(GIVE_UP, image_id, upload_id)
    return not await tx.fetchval(IN_USE, upload_id)


async def upload_finish(tx: Any, image: Image, upload_id: str, received: Received) -> None:
    """Make the image active and say so. Raises UploadLost, and TooLarge when its project may not hold so much."""
    owner = await tx.fetchval(
        FINISH, image.id, upload_id, received.size, received.virtual_size, received.md5, received.sha512, clock.now()
    )
    if owner is None:
        raise UploadLost(f"Image {image.id} could not be found after upload; it may have been deleted.")
    await check_size(tx, owner)
    event = ImageUploaded(
        image_id=image.id,
        disk_format=image.disk_format or "",
        container_format=image.container_format or "",
        size=received.size,
        virtual_size=received.virtual_size,
        sha512=received.sha512,
    )
    tx.publish(event, project_id=owner)


async def receive(
    images: ImageStore,
    incoming: Incoming,
    chunks: AsyncIterator[bytes],
    inspector: Inspector,
    renew: Callable[[], Awaitable[None]],
) -> Received:
    """Take in the data, hashed and inspected as it flows, up to but without the commit.

    Raises ImageRefused, TooLarge, StoreFull, StoreTroubled, UploadLost, and BadRequest when the sender falls silent.
    """
    md5, sha512 = hashlib.md5(usedforsecurity=False), hashlib.sha512()

    def take(piece: bytes) -> None:
        md5.update(piece)
        sha512.update(piece)
        inspector.eat(piece)
        incoming.write(piece)

    renewed = time.monotonic()
    async for piece in _pieces(chunks):
        if inspector.size + len(piece) > images.max_bytes:
            raise TooLarge(f"The incoming image is too large: at most {images.max_bytes} bytes are accepted.")
        await in_thread(take, piece)
        if time.monotonic() - renewed > RENEW_SECONDS:
            renewed = time.monotonic()
            await renew()
    size = inspector.size
    virtual_size = await in_thread(inspector.finish)
    return Received(size=size, virtual_size=virtual_size, md5=md5.hexdigest(), sha512=sha512.hexdigest())


async def in_thread(work: Callable[..., Any], *args: Any) -> Any:
    """Run `work` in a thread, and see it end before a cancellation goes on: it may hold a file descriptor."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


async def _pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What arrives, put together to pieces that are worth a thread's while; a slow sender's come smaller."""
    held = bytearray()
    began = time.monotonic()
    while True:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                chunk = await anext(chunks, b"")
        except TimeoutError:
            raise BadRequest(f"No image data arrived for {SILENCE_SECONDS:.0f} seconds.") from None
        held += chunk
        if len(held) >= PIECE or (held and (not chunk or time.monotonic() - began > RENEW_SECONDS)):
            yield bytes(held)
            held.clear()
            began = time.monotonic()
        if not chunk:
            return

"""What compute asks of images: may a server boot from this one, and where does its host get the data."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest
from skybus.image.images import Image, image_seen
from skybus.messages.compute import ImageSource

BOOTABLE = frozenset({"raw", "qcow2"})


async def image_for_boot(store: Any, image_id: str, *, project_id: str, is_admin: bool) -> Image:
    """The image, if a server of `project_id` may boot from it. `store` may be a transaction.

    Raises NotFound when the project may not know of it, BadRequest when its data is missing, out of use, or in a form
    that no hypervisor of ours boots. Whether the flavor is large enough is the caller's to check: `min_disk` (GiB),
    `min_ram` (MiB), `virtual_size` (bytes). A hidden image boots.
    """
    image = await image_seen(store, image_id, project_id=project_id, is_admin=is_admin)
    if image.status != "active":
        raise BadRequest(f"Image {image.id} is not active.", code="image.not-active")
    if image.disk_format not in BOOTABLE or image.container_format != "bare":
        raise BadRequest(
            f"Image {image.id} is unacceptable: a server boots from a bare image whose disk_format is "
            f"{' or '.join(sorted(BOOTABLE))}, not {image.container_format} {image.disk_format}.",
            code="image.not-bootable",
        )
    return image


def image_source(image: Image, gateway_url: str, token: str) -> ImageSource:
    """Where a host downloads an image that `image_for_boot` answered; `token` must be good for this image alone."""
    if image.disk_format not in BOOTABLE or image.size is None or image.os_hash_value is None:
        raise BadRequest(f"Image {image.id} is not active.", code="image.not-active")
    return ImageSource(
        image_id=image.id,
        url=f"{gateway_url.rstrip('/')}/image/v2/images/{image.id}/file",
        token=token,
        disk_format="raw" if image.disk_format == "raw" else "qcow2",
        size=image.size,
        sha512=image.os_hash_value,
    )

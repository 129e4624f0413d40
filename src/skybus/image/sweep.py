"""Image data that nobody owns: what a gateway left that was killed between the file and the row."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from skybus.image.store import ImageStore

log = structlog.get_logger()

KNOWN = "SELECT data_name FROM image.image WHERE data_name IS NOT NULL"
GRACE_SECONDS = 3600.0
"""A file is older than this before it counts as nobody's: its row may be about to be committed."""


async def sweep_images(store: Any, images: ImageStore, *, older_than_seconds: float = GRACE_SECONDS) -> list[str]:
    """Delete half-received data whose receiver died, and files without an image; answer their names."""
    known = {row["data_name"] for row in await store.fetch(KNOWN)}
    gone = await asyncio.to_thread(images.sweep, known, older_than_seconds)
    if gone:
        log.warning("orphaned_image_data_removed", names=gone)
    return gone

"""What a project may hold of images, counted in the transaction that adds."""

from __future__ import annotations

from typing import Any

from skybus.errors import TooLarge

DEFAULT_COUNT = 100
DEFAULT_MIB = 1 << 20

LIMITS = "SELECT image_count, image_size_total FROM image.quota WHERE project_id = $1"
COUNT = "SELECT count(*) FROM image.image WHERE owner = $1"
MIB = "SELECT COALESCE(sum(size), 0)::bigint >> 20 FROM image.image WHERE owner = $1"
SET = """
INSERT INTO image.quota (project_id, image_count, image_size_total) VALUES ($1, $2, $3)
ON CONFLICT (project_id) DO UPDATE SET image_count = $2, image_size_total = $3
"""


class ImageQuotaExceeded(TooLarge):
    """The project would hold more than its quota allows."""

    code = "quota.exceeded"


async def limits_of(store: Any, project_id: str) -> tuple[int, int]:
    """(images, MiB) that the project may hold; -1 is without limit."""
    row = await store.fetchrow(LIMITS, project_id)
    return (row["image_count"], row["image_size_total"]) if row is not None else (DEFAULT_COUNT, DEFAULT_MIB)


async def limits_set(tx: Any, project_id: str, count: int, mib: int) -> None:
    """Change a project's limits."""
    await tx.execute(SET, project_id, count, mib)


async def check_count(tx: Any, project_id: str) -> None:
    """After an image was inserted: may the project hold it? Raises ImageQuotaExceeded. Serialises the project."""
    await tx.lock("quota", "image", project_id)
    limit, _ = await limits_of(tx, project_id)
    if 0 <= limit < await tx.fetchval(COUNT, project_id):
        raise ImageQuotaExceeded(f"Project is over a limit: it may have {limit} images.")


async def check_size(tx: Any, project_id: str) -> None:
    """After an image got its data: may the project hold so much? Raises ImageQuotaExceeded."""
    await tx.lock("quota", "image", project_id)
    _, limit = await limits_of(tx, project_id)
    if 0 <= limit < await tx.fetchval(MIB, project_id):
        raise ImageQuotaExceeded(f"Image exceeds the storage quota: the project may hold {limit} MiB.")

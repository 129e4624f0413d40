"""Members: the projects that a shared image is shared with, and what they say to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skybus import clock

MAX_MEMBERS = 128
COLUMNS = "image_id, member_id, status, created_at, updated_at"
INSERT = f"""
INSERT INTO image.member (image_id, member_id, created_at, updated_at) VALUES ($1, $2, $3, $3)
ON CONFLICT DO NOTHING
RETURNING {COLUMNS}
"""
COUNT = "SELECT count(*) FROM image.member WHERE image_id = $1"
GET = f"SELECT {COLUMNS} FROM image.member WHERE image_id = $1 AND member_id = $2"
LIST = f"SELECT {COLUMNS} FROM image.member WHERE image_id = $1 ORDER BY created_at, member_id"
MOVE = f"""
UPDATE image.member SET status = $3, updated_at = $4 WHERE image_id = $1 AND member_id = $2 RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM image.member WHERE image_id = $1 AND member_id = $2 RETURNING member_id"


async def member_insert(tx: Any, image_id: str, member_id: str) -> Any | None:
    """Offer the image to a project; None when it was offered before."""
    return await tx.fetchrow(INSERT, image_id, member_id, clock.now())


async def member_count(tx: Any, image_id: str) -> int:
    """How many projects the image is shared with."""
    return int(await tx.fetchval(COUNT, image_id))


async def member_get(store: Any, image_id: str, member_id: str) -> Any | None:
    """One membership, or None."""
    return await store.fetchrow(GET, image_id, member_id)


async def member_list(store: Any, image_id: str) -> Sequence[Any]:
    """All memberships of an image; there are at most MAX_MEMBERS."""
    rows: Sequence[Any] = await store.fetch(LIST, image_id)
    return rows


async def member_set_status(tx: Any, image_id: str, member_id: str, status: str) -> Any | None:
    """Write what the project says; None when it is not a member."""
    return await tx.fetchrow(MOVE, image_id, member_id, status, clock.now())


async def member_delete(tx: Any, image_id: str, member_id: str) -> bool:
    """Take the image back; False when it was not shared."""
    return await tx.fetchval(DELETE, image_id, member_id) is not None

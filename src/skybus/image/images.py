"""Images as rows: inserting, finding, listing, changing, removing. The one place that knows the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from skybus import clock
from skybus.errors import BadRequest, NotFound
from skybus.http.paging import Page, Where
from skybus.ids import is_uuid

# A live upload shows as `saving`; see upload_until in the migration.
STATUS = "CASE WHEN i.status = 'queued' AND i.upload_until > now() THEN 'saving' ELSE i.status END"
COLUMNS = f"""
i.id, i.owner, i.name, {STATUS} AS status, i.visibility, i.disk_format, i.container_format, i.min_disk, i.min_ram,
i.protected, i.os_hidden, i.tags, i.properties, i.size, i.virtual_size, i.checksum, i.os_hash_value, i.data_name,
i.created_at, i.updated_at
"""

INSERT = """
INSERT INTO image.image (id, owner, name, visibility, disk_format, container_format, min_disk, min_ram, protected,
                         os_hidden, tags, properties, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)
ON CONFLICT (id) DO NOTHING
RETURNING id
"""
GET = f"SELECT {COLUMNS} FROM image.image i WHERE i.id = $1"
GET_LOCKED = f"{GET} FOR UPDATE"
SEEN = f"""
SELECT {COLUMNS} FROM image.image i
 WHERE i.id = $1
   AND (i.owner = $2 OR i.visibility IN ('public', 'community')
        OR (i.visibility = 'shared'
            AND EXISTS (SELECT FROM image.member m WHERE m.image_id = i.id AND m.member_id = $2)))
"""
UPDATE = """
UPDATE image.image
   SET name = $2, visibility = $3, disk_format = $4, container_format = $5, min_disk = $6, min_ram = $7,
       protected = $8, os_hidden = $9, tags = $10, properties = $11, owner = $12, updated_at = $13
 WHERE id = $1
"""
ACTIVATE = "UPDATE image.image SET status = $2, updated_at = $3 WHERE id = $1"
TAG = "UPDATE image.image SET tags = array_append(tags, $2), updated_at = $3 WHERE id = $1"
UNTAG = "UPDATE image.image SET tags = array_remove(tags, $2), updated_at = $3 WHERE id = $1"
DELETE = "DELETE FROM image.image WHERE id = $1"

SORT_KEYS: Mapping[str, str] = {
    "name": "COALESCE(i.name, '')",
    "status": STATUS,
    "container_format": "COALESCE(i.container_format, '')",
    "disk_format": "COALESCE(i.disk_format, '')",
    "size": "COALESCE(i.size, 0)",
    "id": "i.id",
    "created_at": "i.created_at",
    "updated_at": "i.updated_at",
}


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image as the database has it. `status` is `saving` while an upload is under way."""

    id: str
    owner: str
    name: str | None
    status: str
    visibility: str
    disk_format: str | None
    container_format: str | None
    min_disk: int
    """GiB that a root disk must have."""
    min_ram: int
    """MiB that a server must have."""
    protected: bool
    os_hidden: bool
    tags: list[str]
    properties: dict[str, str]
    size: int | None
    """Bytes of the data."""
    virtual_size: int | None
    """Bytes of the disk that a guest sees."""
    checksum: str | None
    """MD5 of the data, which old clients ask for; nothing of ours trusts it."""
    os_hash_value: str | None
    """SHA-512 of the data."""
    data_name: str | None
    """The file in the image store."""
    created_at: datetime
    updated_at: datetime


def not_found(image_id: str) -> NotFound:
    """The 404 of an image that is not there or not the caller's to see."""
    return NotFound(f"No image found with ID {image_id[:64]}")


async def image_insert(tx: Any, image: Image) -> bool:
    """Add `image`; False when its id is taken."""
    taken = await tx.fetchval(
        INSERT,
        image.id,
        image.owner,
        image.name,
        image.visibility,
        image.disk_format,
        image.container_format,
        image.min_disk,
        image.min_ram,
        image.protected,
        image.os_hidden,
        image.tags,
        image.properties,
        image.created_at,
    )
    return taken is not None


async def image_get(store: Any, image_id: str, *, lock: bool = False) -> Image:
    """The image, whoever owns it; with `lock`, nobody changes it before the transaction ends. Raises NotFound."""
    row = await store.fetchrow(GET_LOCKED if lock else GET, image_id) if is_uuid(image_id) else None
    if row is None:
        raise not_found(image_id)
    return Image(**row)


async def image_seen(store: Any, image_id: str, *, project_id: str | None, is_admin: bool) -> Image:
    """The image, if somebody in `project_id` may know of it: its own, a public, community or shared one; an admin may
    know of all. Raises NotFound."""
    if is_admin:
        return await image_get(store, image_id)
    row = await store.fetchrow(SEEN, image_id, project_id or "") if is_uuid(image_id) else None
    if row is None:
        raise not_found(image_id)
    return Image(**row)


async def image_list(store: Any, where: Where, page: Page) -> Sequence[Any]:
    """The rows of one page, and one more when another page follows. Raises BadRequest for an unknown marker."""
    order = page.order(SORT_KEYS, "i.id")
    if page.marker is not None:
        page.after(where, order, await _marker(store, page.marker, [column for column, _ in order]))
    sql = f"SELECT {COLUMNS} FROM image.image i {where.sql} {page.tail(order, 1)}"
    rows: Sequence[Any] = await store.fetch(sql, *where.args)
    return rows


async def _marker(store: Any, image_id: str, columns: Sequence[str]) -> Sequence[Any]:
    sql = f"SELECT {', '.join(columns)} FROM image.image i WHERE i.id = $1"
    row = await store.fetchrow(sql, image_id) if is_uuid(image_id) else None
    if row is None:
        raise BadRequest(f"Invalid marker: image {image_id[:64]} could not be found.")
    values: Sequence[Any] = row
    return values


async def image_update(tx: Any, image: Image) -> Image:
    """Write what a PATCH may change; `updated_at` becomes now."""
    changed = msgspec.structs.replace(image, updated_at=clock.now())
    await tx.execute(
        UPDATE,
        changed.id,
        changed.name,
        changed.visibility,
        changed.disk_format,
        changed.container_format,
        changed.min_disk,
        changed.min_ram,
        changed.protected,
        changed.os_hidden,
        changed.tags,
        changed.properties,
        changed.owner,
        changed.updated_at,
    )
    return changed


async def image_set_status(tx: Any, image_id: str, status: str) -> None:
    """Take an image with data out of use (`deactivated`) or bring it back (`active`)."""
    await tx.execute(ACTIVATE, image_id, status, clock.now())


async def image_tag(tx: Any, image_id: str, tag: str) -> None:
    """Add a tag that the image does not have."""
    await tx.execute(TAG, image_id, tag, clock.now())


async def image_untag(tx: Any, image_id: str, tag: str) -> None:
    """Remove a tag."""
    await tx.execute(UNTAG, image_id, tag, clock.now())


async def image_delete(tx: Any, image_id: str) -> None:
    """Remove the row and its members; the file is the caller's to remove once the transaction is through."""
    await tx.execute(DELETE, image_id)

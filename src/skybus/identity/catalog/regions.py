"""Regions: their rows. A region may lie in another one."""

from __future__ import annotations

from typing import Any

import asyncpg

from skybus import clock
from skybus.errors import BadRequest, Conflict, Forbidden
from skybus.identity.rows import extra_of, missing
from skybus.ids import new_hex_id
from skybus.messages.identity import CatalogChanged
from skybus.store import Tx

COLUMNS = "r.id, r.description, r.parent_region_id, r.extra"
LIST = f"SELECT {COLUMNS} FROM identity.region r"
GET = f"{LIST} WHERE r.id = $1"
HOLD = f"{LIST} WHERE r.id = $1 FOR KEY SHARE"
LOCK = f"{LIST} WHERE r.id = $1 FOR UPDATE"
INSERT = f"""
INSERT INTO identity.region AS r (id, description, parent_region_id, extra, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
RETURNING {COLUMNS}
"""
UPDATE = f"""
UPDATE identity.region AS r SET description = $2, parent_region_id = $3, extra = $4 WHERE id = $1 RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM identity.region WHERE id = $1"
CIRCLE = """
WITH RECURSIVE up (id) AS (
    SELECT $2::text UNION SELECT r.parent_region_id FROM identity.region r JOIN up ON r.id = up.id
)
SELECT EXISTS (SELECT 1 FROM up WHERE id = $1)
"""
KNOWN = frozenset(("id", "description", "parent_region_id"))
PRIVATE = frozenset(("links",))

Row = Any


async def region_get(db: Any, region_id: str) -> Row:
    """The region. Raises NotFound."""
    row = await db.fetchrow(GET, region_id)
    if row is None:
        raise missing("region", region_id)
    return row


async def region_hold(tx: Tx, region_id: str) -> Row:
    """The region, which cannot be deleted before `tx` ends. Raises NotFound."""
    row = await tx.fetchrow(HOLD, region_id)
    if row is None:
        raise missing("region", region_id)
    return row


async def region_insert(tx: Tx, asked: dict[str, Any]) -> Row:
    """Make a region, by the id that the request gives or by a new one. Raises NotFound or Conflict."""
    region_id = asked.get("id") or new_hex_id()
    parent = asked.get("parent_region_id")
    if parent is not None:
        await region_hold(tx, parent)
    extra = extra_of(asked, KNOWN | PRIVATE)
    row = await tx.fetchrow(INSERT, region_id, asked.get("description") or "", parent, extra, clock.now())
    if row is None:
        raise Conflict(f"Conflict occurred attempting to store region - the id {region_id} is in use.")
    _tell(tx, region_id, "created")
    return row


async def region_ensure(tx: Tx, region_id: str) -> Row:
    """The region called `region_id`, made if there is none, which cannot be deleted before `tx` ends.

    Raises NotFound when it was deleted in this moment.
    """
    if await tx.fetchrow(INSERT, region_id, "", None, {}, clock.now()) is not None:
        _tell(tx, region_id, "created")
    return await region_hold(tx, region_id)


async def region_update(tx: Tx, region_id: str, asked: dict[str, Any]) -> Row:
    """Change a region. Raises NotFound, or BadRequest for a region that would be its own ancestor."""
    # Two changes side by side could close a circle that neither of them sees.
    await tx.lock("identity", "region")
    old = await tx.fetchrow(LOCK, region_id)
    if old is None:
        raise missing("region", region_id)
    parent = asked.get("parent_region_id", old["parent_region_id"])
    if parent is not None and parent != old["parent_region_id"]:
        await region_hold(tx, parent)
        if await tx.fetchval(CIRCLE, region_id, parent):
            raise BadRequest("A region cannot be below itself.")
    description = asked.get("description", old["description"]) or ""
    row = await tx.fetchrow(UPDATE, region_id, description, parent, extra_of(asked, KNOWN | PRIVATE, old["extra"]))
    _tell(tx, region_id, "updated")
    return row


async def region_delete(tx: Tx, region_id: str) -> None:
    """Delete a region and those below it. Raises NotFound, or Forbidden while there are endpoints in them."""
    try:
        if await tx.execute(DELETE, region_id) != "DELETE 1":
            raise missing("region", region_id)
    except asyncpg.ForeignKeyViolationError:
        raise Forbidden(
            f"Unable to delete region {region_id} because it or its child regions have associated endpoints."
        ) from None
    _tell(tx, region_id, "deleted")


def _tell(tx: Tx, region_id: str, change: str) -> None:
    tx.publish(CatalogChanged(kind="region", id=region_id, change=change), project_id="")


def region_view(row: Row, base: str) -> dict[str, Any]:
    """A region as the API shows it."""
    return {
        **row["extra"],
        "id": row["id"],
        "description": row["description"],
        "parent_region_id": row["parent_region_id"],
        "links": {"self": f"{base}/regions/{row['id']}"},
    }

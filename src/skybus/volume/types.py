"""Volume types: kinds of volume that users choose from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from skybus import clock
from skybus.errors import BadRequest, Conflict, NotFound
from skybus.http.paging import Page, Where
from skybus.ids import derived_id, is_uuid, new_id

COLUMNS = "t.id, t.name, t.description, t.is_public, t.is_default, t.extra_specs, t.created_at"
MAY_USE = """(t.is_public OR $2::text IS NULL
             OR EXISTS (SELECT FROM volume.type_access a WHERE a.type_id = t.id AND a.project_id = $2))"""
GET = f"SELECT {COLUMNS} FROM volume.type t WHERE t.id = $1 AND {MAY_USE}"
BY_NAME = f"SELECT {COLUMNS} FROM volume.type t WHERE t.name = $1 AND {MAY_USE}"
DEFAULT = f"SELECT {COLUMNS} FROM volume.type t WHERE t.is_default"
INSERT = f"""
INSERT INTO volume.type AS t (id, name, description, is_public, extra_specs, created_at)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING {COLUMNS}
"""
UPDATE = f"""
UPDATE volume.type AS t SET name = $2, description = $3, is_public = $4, extra_specs = $5 WHERE id = $1
RETURNING {COLUMNS}
"""
IN_USE = "SELECT EXISTS (SELECT FROM volume.volume WHERE type_id = $1 AND deleted_at IS NULL)"
DELETE = "DELETE FROM volume.type WHERE id = $1"
# Deleted volumes remember their type; the default one takes their memory over.
FORGET = "UPDATE volume.volume SET type_id = (SELECT id FROM volume.type WHERE is_default) WHERE type_id = $1"
GRANT = "INSERT INTO volume.type_access (type_id, project_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1"
REVOKE = "DELETE FROM volume.type_access WHERE type_id = $1 AND project_id = $2 RETURNING 1"
ACCESS = "SELECT project_id FROM volume.type_access WHERE type_id = $1 ORDER BY project_id"

DEFAULT_NAME = "__DEFAULT__"
BOOTSTRAP = """
INSERT INTO volume.type (id, name, description, is_default, created_at) VALUES ($1, $2, 'Default Volume Type', true, $3)
ON CONFLICT DO NOTHING
"""
SORT_KEYS = {"id": "t.id", "name": "t.name", "created_at": "t.created_at"}


def not_found(name: str) -> NotFound:
    """The 404 of a type that is not there or not the caller's to see."""
    return NotFound(f"Volume type {name[:64]} could not be found.")


async def bootstrap(tx: Any) -> None:
    """Make the default type, unless there is one."""
    await tx.execute(BOOTSTRAP, derived_id("volume-type", DEFAULT_NAME), DEFAULT_NAME, clock.now())


async def type_get(store: Any, type_id: str, *, project_id: str | None) -> Any:
    """The type that `project_id` may use; None is anybody. Raises NotFound."""
    row = await store.fetchrow(GET, type_id, project_id) if is_uuid(type_id) else None
    if row is None:
        raise not_found(type_id)
    return row


async def type_named(store: Any, name: str | None, *, project_id: str | None) -> Any:
    """The type by id or by name; without either, the default one. Raises NotFound."""
    if not name:
        row = await store.fetchrow(DEFAULT)
        if row is None:
            raise not_found(DEFAULT_NAME)
        return row
    row = await store.fetchrow(GET, name, project_id) if is_uuid(name) else None
    row = row if row is not None else await store.fetchrow(BY_NAME, name, project_id)
    if row is None:
        raise not_found(name)
    return row


async def type_list(store: Any, where: Where, page: Page) -> Sequence[Any]:
    """The rows of one page, and one more when another page follows. Raises NotFound for an unknown marker."""
    order = page.order(SORT_KEYS, "t.id")
    if page.marker is not None:
        marker = await type_get(store, page.marker, project_id=None)
        page.after(where, order, [marker[column.partition(".")[2]] for column, _ in order])
    rows: Sequence[Any] = await store.fetch(
        f"SELECT {COLUMNS} FROM volume.type t {where.sql} {page.tail(order, 1)}", *where.args
    )
    return rows


async def type_insert(tx: Any, name: str, description: str | None, is_public: bool, specs: dict[str, str]) -> Any:
    """Add a type. Raises Conflict when the name is taken."""
    try:
        return await tx.fetchrow(INSERT, new_id(), name, description, is_public, specs, clock.now())
    except asyncpg.UniqueViolationError:
        raise Conflict(f"Volume Type {name} already exists.") from None


async def type_update(tx: Any, row: Any, **columns: Any) -> Any:
    """Change name, description, is_public or extra_specs. Raises Conflict when the name is taken."""
    new = {name: columns.get(name, row[name]) for name in ("name", "description", "is_public", "extra_specs")}
    try:
        return await tx.fetchrow(UPDATE, row["id"], *new.values())
    except asyncpg.UniqueViolationError:
        raise Conflict(f"Volume Type {new['name']} already exists.") from None


async def type_delete(tx: Any, row: Any) -> None:
    """Remove a type. Raises BadRequest while volumes are of it, or when it is the default."""
    if row["is_default"]:
        raise BadRequest("The volume type is the default volume type and cannot be deleted.")
    if await tx.fetchval(IN_USE, row["id"]):
        raise BadRequest(f"Volume Type {row['id']} deletion is not allowed with existing volumes with the type.")
    await tx.execute(FORGET, row["id"])
    await tx.execute(DELETE, row["id"])


async def type_grant(tx: Any, type_id: str, project_id: str) -> bool:
    """Let a project use a type that is not public; False when it may already."""
    return await tx.fetchval(GRANT, type_id, project_id) is not None


async def type_revoke(tx: Any, type_id: str, project_id: str) -> bool:
    """Take it back; False when it was not granted."""
    return await tx.fetchval(REVOKE, type_id, project_id) is not None


async def type_access(store: Any, type_id: str) -> list[str]:
    """The projects that may use a type which is not public."""
    return [row["project_id"] for row in await store.fetch(ACCESS, type_id)]

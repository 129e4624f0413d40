"""Objects of metadata definitions as rows: properties that belong together.

Whoever writes holds the lock of the namespace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from skybus import clock
from skybus.errors import NotFound
from skybus.http.paging import Page, Where
from skybus.image.metadefs.definitions import definitions_of

COLUMNS = "namespace, name, description, required, properties, created_at, updated_at"
INSERT = f"""
INSERT INTO image.metadef_object (namespace, name, description, required, properties, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $6)
ON CONFLICT DO NOTHING
RETURNING {COLUMNS}
"""
GET = f"SELECT {COLUMNS} FROM image.metadef_object WHERE namespace = $1 AND name = $2"
ALL = f"SELECT {COLUMNS} FROM image.metadef_object WHERE namespace = $1 ORDER BY created_at, name"
# What would be called like another one is not changed.
UPDATE = f"""
UPDATE image.metadef_object
   SET name = $3, description = $4, required = $5, properties = $6, updated_at = $7
 WHERE namespace = $1 AND name = $2
   AND ($2 = $3 OR NOT EXISTS (SELECT FROM image.metadef_object o WHERE o.namespace = $1 AND o.name = $3))
RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM image.metadef_object WHERE namespace = $1 AND name = $2"
DELETE_ALL = "DELETE FROM image.metadef_object WHERE namespace = $1"
SORT_KEYS: Mapping[str, str] = {
    "name": "o.name",
    "description": "COALESCE(o.description, '')",
    "created_at": "o.created_at",
    "updated_at": "o.updated_at",
}


def not_found(namespace: str, name: str) -> NotFound:
    """The 404 of an object."""
    return NotFound(f"The metadata definition object with name={name[:80]} was not found in namespace={namespace}.")


def _values(said: Mapping[str, Any]) -> tuple[Any, ...]:
    properties = definitions_of(said.get("properties", {}))
    return said["name"], said.get("description"), said.get("required", []), properties


async def object_insert(tx: Any, namespace: str, said: Mapping[str, Any], at: datetime | None = None) -> Any | None:
    """Add what a request says; None when the namespace has one of that name."""
    return await tx.fetchrow(INSERT, namespace, *_values(said), at or clock.now())


async def object_get(store: Any, namespace: str, name: str) -> Any:
    """The object's row. Raises NotFound."""
    row = await store.fetchrow(GET, namespace, name)
    if row is None:
        raise not_found(namespace, name)
    return row


async def object_all(store: Any, namespace: str) -> Sequence[Any]:
    """All objects of a namespace, oldest first; `bounds` says how many there may be."""
    rows: Sequence[Any] = await store.fetch(ALL, namespace)
    return rows


async def object_list(store: Any, namespace: str, page: Page) -> Sequence[Any]:
    """One page of the objects of a namespace. Raises NotFound for an unknown marker."""
    where = Where()
    where.add("o.namespace = {}", namespace)
    order = page.order(SORT_KEYS, "o.name")
    if page.marker is not None:
        columns = ", ".join(column for column, _ in order)
        sql = f"SELECT {columns} FROM image.metadef_object o WHERE o.namespace = $1 AND o.name = $2"
        marker = await store.fetchrow(sql, namespace, page.marker)
        if marker is None:
            raise not_found(namespace, page.marker)
        page.after(where, order, marker)
    sql = f"SELECT {COLUMNS} FROM image.metadef_object o {where.sql} {page.tail(order)}"
    rows: Sequence[Any] = await store.fetch(sql, *where.args)
    return rows


async def object_update(tx: Any, namespace: str, name: str, said: Mapping[str, Any]) -> Any | None:
    """Write what a request says in the place of everything; None when the new name is another one's."""
    return await tx.fetchrow(UPDATE, namespace, name, *_values(said), clock.now())


async def object_delete(tx: Any, namespace: str, name: str) -> None:
    """Remove one."""
    await tx.execute(DELETE, namespace, name)


async def object_delete_all(tx: Any, namespace: str) -> None:
    """Remove all that the namespace has."""
    await tx.execute(DELETE_ALL, namespace)

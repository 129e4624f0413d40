"""Tags of metadata definitions as rows. Whoever writes holds the lock of the namespace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skybus import clock
from skybus.errors import NotFound
from skybus.http.paging import Page, Where

COLUMNS = "namespace, name, created_at, updated_at"
# A microsecond lies between one and the next, so that they keep the order in which they were said.
INSERT = f"""
INSERT INTO image.metadef_tag (namespace, name, created_at, updated_at)
SELECT $1, said.name, $3::timestamptz + said.place * interval '1 microsecond', $3
  FROM unnest($2::text[]) WITH ORDINALITY AS said (name, place)
ON CONFLICT DO NOTHING
RETURNING {COLUMNS}
"""
GET = f"SELECT {COLUMNS} FROM image.metadef_tag WHERE namespace = $1 AND name = $2"
ALL = "SELECT name FROM image.metadef_tag WHERE namespace = $1 ORDER BY created_at, name"
# What would be called like another one is not changed.
UPDATE = f"""
UPDATE image.metadef_tag
   SET name = $3, updated_at = $4
 WHERE namespace = $1 AND name = $2
   AND ($2 = $3 OR NOT EXISTS (SELECT FROM image.metadef_tag o WHERE o.namespace = $1 AND o.name = $3))
RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM image.metadef_tag WHERE namespace = $1 AND name = $2"
DELETE_ALL = "DELETE FROM image.metadef_tag WHERE namespace = $1"
SORT_KEYS: Mapping[str, str] = {"name": "t.name", "created_at": "t.created_at", "updated_at": "t.updated_at"}


def not_found(namespace: str, name: str) -> NotFound:
    """The 404 of a tag."""
    return NotFound(f"The metadata definition tag with name={name[:80]} was not found in namespace={namespace}.")


async def tag_insert(tx: Any, namespace: str, names: Sequence[str]) -> Sequence[Any]:
    """Add tags; fewer rows than names come back when one is there already, or is said twice."""
    rows: Sequence[Any] = await tx.fetch(INSERT, namespace, names, clock.now())
    return rows


async def tag_get(store: Any, namespace: str, name: str) -> Any:
    """The tag's row. Raises NotFound."""
    row = await store.fetchrow(GET, namespace, name)
    if row is None:
        raise not_found(namespace, name)
    return row


async def tag_names(store: Any, namespace: str) -> list[str]:
    """The names of all tags of a namespace, oldest first; `bounds` says how many there may be."""
    return [row["name"] for row in await store.fetch(ALL, namespace)]


async def tag_list(store: Any, namespace: str, page: Page) -> list[str]:
    """The names of one page. Raises NotFound for an unknown marker."""
    where = Where()
    where.add("t.namespace = {}", namespace)
    order = page.order(SORT_KEYS, "t.name")
    if page.marker is not None:
        columns = ", ".join(column for column, _ in order)
        sql = f"SELECT {columns} FROM image.metadef_tag t WHERE t.namespace = $1 AND t.name = $2"
        marker = await store.fetchrow(sql, namespace, page.marker)
        if marker is None:
            raise not_found(namespace, page.marker)
        page.after(where, order, marker)
    sql = f"SELECT t.name FROM image.metadef_tag t {where.sql} {page.tail(order)}"
    return [row["name"] for row in await store.fetch(sql, *where.args)]


async def tag_update(tx: Any, namespace: str, name: str, new_name: str) -> Any | None:
    """Call a tag otherwise; None when the new name is another one's."""
    return await tx.fetchrow(UPDATE, namespace, name, new_name, clock.now())


async def tag_delete(tx: Any, namespace: str, name: str) -> None:
    """Remove one."""
    await tx.execute(DELETE, namespace, name)


async def tag_delete_all(tx: Any, namespace: str) -> None:
    """Remove all that the namespace has."""
    await tx.execute(DELETE_ALL, namespace)

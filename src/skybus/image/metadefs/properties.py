"""Properties of metadata definitions as rows: those that belong to a namespace and to no object.

Whoever writes holds the lock of the namespace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skybus import clock
from skybus.errors import NotFound
from skybus.image.metadefs.definitions import definition_of, definitions_of

COLUMNS = "namespace, name, definition, created_at, updated_at"
INSERT = f"""
INSERT INTO image.metadef_property (namespace, name, definition, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)
ON CONFLICT DO NOTHING
RETURNING {COLUMNS}
"""
GET = f"SELECT {COLUMNS} FROM image.metadef_property WHERE namespace = $1 AND name = $2"
ALL = f"SELECT {COLUMNS} FROM image.metadef_property WHERE namespace = $1 ORDER BY name"
# What would be called like another one is not changed.
UPDATE = f"""
UPDATE image.metadef_property
   SET name = $3, definition = $4, updated_at = $5
 WHERE namespace = $1 AND name = $2
   AND ($2 = $3 OR NOT EXISTS (SELECT FROM image.metadef_property o WHERE o.namespace = $1 AND o.name = $3))
RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM image.metadef_property WHERE namespace = $1 AND name = $2"
DELETE_ALL = "DELETE FROM image.metadef_property WHERE namespace = $1"


def _split(said: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A property's name and its definition."""
    return said["name"], definition_of(said)


async def property_insert(tx: Any, namespace: str, said: Mapping[str, Any]) -> Any | None:
    """Add what a request says; None when the namespace has one of that name."""
    return await tx.fetchrow(INSERT, namespace, *_split(said), clock.now())


async def property_insert_all(tx: Any, namespace: str, said: Mapping[str, Mapping[str, Any]]) -> None:
    """Add the properties of a new namespace, by their names."""
    now = clock.now()
    await tx.executemany(INSERT, [(namespace, name, one, now) for name, one in definitions_of(said).items()])


async def property_get(store: Any, namespace: str, name: str) -> Any:
    """The property's row. Raises NotFound."""
    row = await store.fetchrow(GET, namespace, name)
    if row is None:
        raise NotFound(
            f"The metadata definition property with name={name[:80]} was not found in namespace={namespace}."
        )
    return row


async def property_all(store: Any, namespace: str) -> Sequence[Any]:
    """All properties of a namespace; `bounds` says how many there may be."""
    rows: Sequence[Any] = await store.fetch(ALL, namespace)
    return rows


async def property_update(tx: Any, namespace: str, name: str, said: Mapping[str, Any]) -> Any | None:
    """Write what a request says in the place of everything; None when the new name is another one's."""
    return await tx.fetchrow(UPDATE, namespace, name, *_split(said), clock.now())


async def property_delete(tx: Any, namespace: str, name: str) -> None:
    """Remove one."""
    await tx.execute(DELETE, namespace, name)


async def property_delete_all(tx: Any, namespace: str) -> None:
    """Remove all that the namespace has."""
    await tx.execute(DELETE_ALL, namespace)

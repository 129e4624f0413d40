"""Resource types, as OS::Nova::Flavor, and which namespaces speak of them, as rows.

Whoever associates holds the lock of the namespace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skybus import clock
from skybus.errors import NotFound, TooLarge

MAX_TYPES = 1000
TYPES = "SELECT name, created_at, updated_at FROM image.metadef_resource_type ORDER BY created_at, name"
INSERT_TYPE = """
INSERT INTO image.metadef_resource_type (name, created_at, updated_at) VALUES ($1, $2, $2)
ON CONFLICT DO NOTHING
RETURNING name
"""
COUNT_TYPES = "SELECT count(*) FROM image.metadef_resource_type"
COLUMNS = "namespace, resource_type, prefix, properties_target, created_at, updated_at"
INSERT = f"""
INSERT INTO image.metadef_association (namespace, resource_type, prefix, properties_target, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $5)
ON CONFLICT DO NOTHING
RETURNING {COLUMNS}
"""
GET = f"SELECT {COLUMNS} FROM image.metadef_association WHERE namespace = $1 AND resource_type = $2"
OF = f"""
SELECT {COLUMNS} FROM image.metadef_association WHERE namespace = ANY ($1::text[]) ORDER BY namespace, resource_type
"""
DELETE = "DELETE FROM image.metadef_association WHERE namespace = $1 AND resource_type = $2 RETURNING resource_type"


async def resource_type_list(store: Any) -> Sequence[Any]:
    """All resource types; there are at most MAX_TYPES."""
    rows: Sequence[Any] = await store.fetch(TYPES)
    return rows


async def _type_ensure(tx: Any, name: str) -> None:
    """Let the resource type be there. Raises TooLarge when there are too many. Types are never removed."""
    # Two transactions that add the same types in another order would wait for each other.
    await tx.lock("image", "metadef-types")
    if await tx.fetchval(INSERT_TYPE, name, clock.now()) is None:
        return
    if await tx.fetchval(COUNT_TYPES) > MAX_TYPES:
        raise TooLarge(f"There may be {MAX_TYPES} resource types.")


async def association_insert(tx: Any, namespace: str, said: Mapping[str, Any]) -> Any | None:
    """Associate a resource type, which comes into being with it; None when it is associated already. Raises
    TooLarge."""
    await _type_ensure(tx, said["name"])
    prefix, target = said.get("prefix"), said.get("properties_target")
    return await tx.fetchrow(INSERT, namespace, said["name"], prefix, target, clock.now())


async def association_get(store: Any, namespace: str, resource_type: str) -> Any:
    """How a namespace speaks of a resource type. Raises NotFound when it does not."""
    row = await store.fetchrow(GET, namespace, resource_type)
    if row is None:
        raise NotFound(f"Resource type {resource_type[:80]} is not associated with namespace {namespace}.")
    return row


async def associations_of(store: Any, namespaces: Sequence[str]) -> dict[str, list[Any]]:
    """The resource types of each of the namespaces."""
    found: dict[str, list[Any]] = {name: [] for name in namespaces}
    for row in await store.fetch(OF, namespaces):
        found[row["namespace"]].append(row)
    return found


async def association_delete(tx: Any, namespace: str, resource_type: str) -> bool:
    """End an association; False when there was none."""
    return await tx.fetchval(DELETE, namespace, resource_type) is not None

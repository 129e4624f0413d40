"""Endpoint groups: named sets of endpoints, told by what an endpoint must be to belong to them."""

from __future__ import annotations

from typing import Any

from skybus import clock
from skybus.identity.catalog.endpoints import LIST as ENDPOINT_LIST
from skybus.identity.rows import missing
from skybus.ids import new_hex_id
from skybus.messages.identity_catalog import EndpointGroupCreated, EndpointGroupDeleted, EndpointGroupUpdated
from skybus.store import Tx

COLUMNS = "g.id, g.name, g.description, g.filters"
LIST = f"SELECT {COLUMNS} FROM identity.endpoint_group g"
GET = f"{LIST} WHERE g.id = $1"
HOLD = f"{LIST} WHERE g.id = $1 FOR KEY SHARE"
LOCK = f"{LIST} WHERE g.id = $1 FOR UPDATE"
INSERT = f"""
INSERT INTO identity.endpoint_group AS g (id, name, description, filters, created_at) VALUES ($1, $2, $3, $4, $5)
RETURNING {COLUMNS}
"""
UPDATE = f"""
UPDATE identity.endpoint_group AS g SET name = $2, description = $3, filters = $4 WHERE id = $1 RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM identity.endpoint_group WHERE id = $1"
MATCHES = "jsonb_build_object('service_id', e.service_id, 'region_id', e.region_id, 'interface', e.interface)"
MEMBERS = f"{ENDPOINT_LIST} JOIN identity.endpoint_group g ON {MATCHES} @> g.filters WHERE g.id = $1 ORDER BY e.id"

Row = Any


async def endpoint_group_get(db: Any, group_id: str) -> Row:
    """The endpoint group. Raises NotFound."""
    row = await db.fetchrow(GET, group_id)
    if row is None:
        raise missing("endpoint_group", group_id)
    return row


async def endpoint_group_hold(tx: Tx, group_id: str) -> Row:
    """The endpoint group, which cannot be deleted before `tx` ends. Raises NotFound."""
    row = await tx.fetchrow(HOLD, group_id)
    if row is None:
        raise missing("endpoint_group", group_id)
    return row


async def endpoint_group_insert(tx: Tx, asked: dict[str, Any]) -> Row:
    """Make an endpoint group."""
    args = asked["name"], asked.get("description"), asked["filters"], clock.now()
    row = await tx.fetchrow(INSERT, new_hex_id(), *args)
    assert row is not None
    tx.publish(EndpointGroupCreated(endpoint_group_id=row["id"], name=row["name"]), project_id="")
    return row


async def endpoint_group_update(tx: Tx, group_id: str, asked: dict[str, Any]) -> Row:
    """Change an endpoint group; its filters are replaced as a whole. Raises NotFound."""
    old = await tx.fetchrow(LOCK, group_id)
    if old is None:
        raise missing("endpoint_group", group_id)
    values = [asked.get(name, old[name]) for name in ("name", "description", "filters")]
    row = await tx.fetchrow(UPDATE, group_id, *values)
    tx.publish(EndpointGroupUpdated(endpoint_group_id=group_id), project_id="")
    return row


async def endpoint_group_delete(tx: Tx, group_id: str) -> None:
    """Delete an endpoint group, and take it from the projects that it was given to. Raises NotFound."""
    if await tx.execute(DELETE, group_id) != "DELETE 1":
        raise missing("endpoint_group", group_id)
    tx.publish(EndpointGroupDeleted(endpoint_group_id=group_id), project_id="")


async def endpoints_in_group(db: Any, group_id: str) -> list[Row]:
    """The endpoints that belong to a group now."""
    return list(await db.fetch(MEMBERS, group_id))


def endpoint_group_view(row: Row, base: str) -> dict[str, Any]:
    """An endpoint group as the API shows it."""
    return {
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "filters": row["filters"],
        "links": {"self": f"{base}/OS-EP-FILTER/endpoint_groups/{row['id']}"},
    }

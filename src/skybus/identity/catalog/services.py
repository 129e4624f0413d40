"""Services that the catalog names: their rows."""

from __future__ import annotations

from typing import Any

from skybus import clock
from skybus.identity.rows import extra_of, missing
from skybus.ids import new_hex_id
from skybus.messages.identity import CatalogChanged
from skybus.store import Tx

COLUMNS = "s.id, s.type, s.enabled, s.extra"
LIST = f"SELECT {COLUMNS} FROM identity.service s"
GET = f"{LIST} WHERE s.id = $1"
HOLD = f"{LIST} WHERE s.id = $1 FOR KEY SHARE"
LOCK = f"{LIST} WHERE s.id = $1 FOR UPDATE"
INSERT = f"""
INSERT INTO identity.service AS s (id, type, enabled, extra, created_at) VALUES ($1, $2, $3, $4, $5)
RETURNING {COLUMNS}
"""
UPDATE = f"""
UPDATE identity.service AS s SET type = $2, enabled = $3, extra = $4 WHERE id = $1 RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM identity.service WHERE id = $1"
KNOWN = frozenset(("id", "type", "enabled"))
PRIVATE = frozenset(("links",))

Row = Any


async def service_get(db: Any, service_id: str) -> Row:
    """The service. Raises NotFound."""
    row = await db.fetchrow(GET, service_id)
    if row is None:
        raise missing("service", service_id)
    return row


async def service_hold(tx: Tx, service_id: str) -> Row:
    """The service, which cannot be deleted before `tx` ends. Raises NotFound."""
    row = await tx.fetchrow(HOLD, service_id)
    if row is None:
        raise missing("service", service_id)
    return row


async def service_insert(tx: Tx, asked: dict[str, Any], service_id: str | None = None) -> Row:
    """Make a service."""
    extra = extra_of(asked, KNOWN | PRIVATE)
    args = asked["type"], asked.get("enabled", True), extra, clock.now()
    row = await tx.fetchrow(INSERT, service_id or new_hex_id(), *args)
    assert row is not None
    _tell(tx, row["id"], "created")
    return row


async def service_update(tx: Tx, service_id: str, asked: dict[str, Any]) -> Row:
    """Change a service. Raises NotFound."""
    old = await tx.fetchrow(LOCK, service_id)
    if old is None:
        raise missing("service", service_id)
    extra = extra_of(asked, KNOWN | PRIVATE, old["extra"])
    row = await tx.fetchrow(
        UPDATE, service_id, asked.get("type", old["type"]), asked.get("enabled", old["enabled"]), extra
    )
    _tell(tx, service_id, "updated")
    return row


async def service_delete(tx: Tx, service_id: str) -> None:
    """Delete a service and its endpoints. Raises NotFound."""
    if await tx.execute(DELETE, service_id) != "DELETE 1":
        raise missing("service", service_id)
    _tell(tx, service_id, "deleted")


def _tell(tx: Tx, service_id: str, change: str) -> None:
    tx.publish(CatalogChanged(kind="service", id=service_id, change=change), project_id="")


def service_view(row: Row, base: str) -> dict[str, Any]:
    """A service as the API shows it."""
    return {
        "name": "",
        **row["extra"],
        "id": row["id"],
        "type": row["type"],
        "enabled": row["enabled"],
        "links": {"self": f"{base}/services/{row['id']}"},
    }

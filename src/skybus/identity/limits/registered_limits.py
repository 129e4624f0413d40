"""Registered limits: which resources of which services are limited, and how much there is by default."""

from __future__ import annotations

from typing import Any

import asyncpg

from skybus import clock
from skybus.errors import BadRequest, Conflict, Forbidden
from skybus.identity.rows import missing
from skybus.ids import new_hex_id
from skybus.messages.identity_limits import RegisteredLimitCreated, RegisteredLimitDeleted, RegisteredLimitUpdated
from skybus.store import Tx

COLUMNS = "r.id, r.service_id, r.region_id, r.resource_name, r.default_limit, r.description"
LIST = f"SELECT {COLUMNS} FROM identity.registered_limit r"
GET = f"{LIST} WHERE r.id = $1"
INSERT = f"""
INSERT INTO identity.registered_limit AS r
       (id, service_id, region_id, resource_name, default_limit, description, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING
RETURNING {COLUMNS}
"""
UPDATE = f"""
UPDATE identity.registered_limit AS r
   SET service_id = $2, region_id = $3, resource_name = $4, default_limit = $5, description = $6
 WHERE r.id = $1
RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM identity.registered_limit WHERE id = $1"
IN_USE = 'SELECT EXISTS (SELECT 1 FROM identity."limit" WHERE registered_limit_id = $1)'
# Neither can go before the transaction ends.
HOLD_SERVICE = "SELECT 1 FROM identity.service WHERE id = $1 FOR KEY SHARE"
HOLD_REGION = "SELECT 1 FROM identity.region WHERE id = $1 FOR KEY SHARE"

Row = Any


async def limits_lock(tx: Tx) -> None:
    """Let nobody else change limits before `tx` ends: what one limit may be depends on others."""
    await tx.lock("identity", "limits")


async def registered_limit_get(db: Any, registered_limit_id: str) -> Row:
    """The registered limit. Raises NotFound."""
    row = await db.fetchrow(GET, registered_limit_id)
    if row is None:
        raise missing("registered limit", registered_limit_id)
    return row


async def registered_limit_insert(tx: Tx, asked: dict[str, Any]) -> Row:
    """Make one. Raises BadRequest for a service or region that does not exist, and Conflict."""
    await limits_lock(tx)
    await _hold(tx, asked["service_id"], asked.get("region_id"))
    args = (asked["service_id"], asked.get("region_id"), asked["resource_name"], asked["default_limit"])
    row = await tx.fetchrow(INSERT, new_hex_id(), *args, asked.get("description"), clock.now())
    if row is None:
        raise _twice()
    tx.publish(RegisteredLimitCreated(**_told(row)), project_id="")
    return row


async def registered_limit_update(tx: Tx, registered_limit_id: str, asked: dict[str, Any]) -> Row:
    """Change one that no limit refers to. Raises NotFound, Forbidden, BadRequest or Conflict."""
    await limits_lock(tx)
    old = await registered_limit_get(tx, registered_limit_id)
    await _check_unused(tx, registered_limit_id)
    now = {**dict(old), **asked}
    await _hold(tx, now["service_id"], now["region_id"])
    args = (now["service_id"], now["region_id"], now["resource_name"], now["default_limit"], now["description"])
    try:
        row = await tx.fetchrow(UPDATE, registered_limit_id, *args)
    except asyncpg.UniqueViolationError:
        raise _twice() from None
    tx.publish(RegisteredLimitUpdated(**_told(row)), project_id="")
    return row


async def registered_limit_delete(tx: Tx, registered_limit_id: str) -> None:
    """Delete one that no limit refers to. Raises NotFound or Forbidden."""
    await limits_lock(tx)
    await registered_limit_get(tx, registered_limit_id)
    await _check_unused(tx, registered_limit_id)
    await tx.execute(DELETE, registered_limit_id)
    tx.publish(RegisteredLimitDeleted(registered_limit_id=registered_limit_id), project_id="")


async def _check_unused(tx: Tx, registered_limit_id: str) -> None:
    if await tx.fetchval(IN_USE, registered_limit_id):
        raise Forbidden(
            f"Unable to update or delete registered limit {registered_limit_id} because there are limits of projects "
            "or domains that refer to it."
        )


async def _hold(tx: Tx, service_id: str, region_id: str | None) -> None:
    if await tx.fetchval(HOLD_SERVICE, service_id) is None:
        raise BadRequest("The service_id of the registered limit names no service.")
    if region_id is not None and await tx.fetchval(HOLD_REGION, region_id) is None:
        raise BadRequest("The region_id of the registered limit names no region.")


def _twice() -> Conflict:
    return Conflict("Conflict occurred attempting to store registered_limit - Duplicate entry.")


def _told(row: Row) -> dict[str, Any]:
    told = {name: row[name] for name in ("service_id", "region_id", "resource_name", "default_limit")}
    return {"registered_limit_id": row["id"], **told}


def registered_limit_view(row: Row, base: str) -> dict[str, Any]:
    """A registered limit as the API shows it."""
    return {
        "id": row["id"],
        "service_id": row["service_id"],
        "region_id": row["region_id"],
        "resource_name": row["resource_name"],
        "default_limit": row["default_limit"],
        "description": row["description"],
        "links": {"self": f"{base}/registered_limits/{row['id']}"},
    }

"""Limits: how much of a registered resource one project or one domain may own, where that is not the default."""

from __future__ import annotations

from typing import Any

import msgspec

from skybus import clock
from skybus.errors import BadRequest, Conflict, Forbidden
from skybus.identity.limits.limit_models import LimitModel
from skybus.identity.limits.registered_limits import limits_lock
from skybus.identity.rows import missing
from skybus.ids import new_hex_id
from skybus.messages.identity_limits import LimitCreated, LimitDeleted, LimitUpdated
from skybus.store import Tx

UNLIMITED = -1

LIST = """
SELECT l.id, l.target_id, l.registered_limit_id, l.resource_limit, l.description,
       r.service_id, r.region_id, r.resource_name, p.is_domain, p.domain_id AS in_domain_id
  FROM identity."limit" l
  JOIN identity.registered_limit r ON r.id = l.registered_limit_id
  JOIN identity.project p ON p.id = l.target_id
"""
GET = f"{LIST} WHERE l.id = $1"
REGISTERED = """
SELECT id FROM identity.registered_limit
 WHERE service_id = $1 AND region_id IS NOT DISTINCT FROM $2 AND resource_name = $3
"""
SERVICE_EXISTS = "SELECT EXISTS (SELECT 1 FROM identity.service WHERE id = $1)"
REGION_EXISTS = "SELECT EXISTS (SELECT 1 FROM identity.region WHERE id = $1)"
HOLD_TARGET = "SELECT id, is_domain FROM identity.project WHERE id = $1 FOR KEY SHARE"
INSERT = """
INSERT INTO identity."limit" (id, registered_limit_id, target_id, resource_limit, description, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
RETURNING id
"""
UPDATE = 'UPDATE identity."limit" SET resource_limit = $2, description = $3 WHERE id = $1'
DELETE = 'DELETE FROM identity."limit" WHERE id = $1'
# What is registered for the region itself comes before what is registered for all.
ALLOWANCE = """
SELECT r.default_limit, own.resource_limit AS own, up.resource_limit AS above, p.parent_id
  FROM identity.project p
  JOIN identity.service s ON s.type = $2
  JOIN identity.registered_limit r
    ON r.service_id = s.id AND r.resource_name = $3 AND (r.region_id IS NULL OR r.region_id = $4)
  LEFT JOIN identity."limit" own ON own.registered_limit_id = r.id AND own.target_id = p.id
  LEFT JOIN identity."limit" up ON up.registered_limit_id = r.id AND up.target_id = p.parent_id
 WHERE p.id = $1
 ORDER BY (r.region_id IS NULL), s.created_at, s.id
 LIMIT 1
"""

Row = Any


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """How much of one resource a project may own; UNLIMITED is as much as there is."""

    project: int
    """What the project alone may own."""
    tree_id: str | None = None
    """With a model that minds the tree, the domain that shares its limit with all its projects."""
    tree: int = UNLIMITED
    """What all projects of that domain may own together."""


async def project_allowance(
    db: Any, model: LimitModel, project_id: str, service_type: str, resource_name: str, region_id: str | None = None
) -> Allowance | None:
    """What a project may own of a resource, or None when nobody registered it, or there is no such project.

    One statement. The services count by quota tables of their own today. To come here, a service registers its
    resources at bootstrap with the defaults that it has now, turns the rows of its quota table into limits, and asks
    for the allowance where it now reads its table: in the transaction that claims, after it has taken its lock on the
    project. Where `tree_id` is set, it takes its lock on that instead, and counts what all projects of it own too.
    """
    row = await db.fetchrow(ALLOWANCE, project_id, service_type, resource_name, region_id)
    if row is None:
        return None
    own = row["default_limit"] if row["own"] is None else row["own"]
    if not model.strict or row["parent_id"] is None:
        return Allowance(project=own)
    tree = row["default_limit"] if row["above"] is None else row["above"]
    capped = min((limit for limit in (own, tree) if limit != UNLIMITED), default=UNLIMITED)
    return Allowance(project=capped, tree_id=row["parent_id"], tree=tree)


async def limit_find(db: Any, limit_id: str) -> Row | None:
    """The limit, or None."""
    return await db.fetchrow(GET, limit_id)


async def limits_insert(tx: Tx, model: LimitModel, asked: list[dict[str, Any]]) -> list[Row]:
    """Make all of them or none. Raises BadRequest for what does not exist, Conflict, and Forbidden for a resource that
    is not registered or a limit that the model does not allow."""
    await limits_lock(tx)
    made = [await _insert(tx, one) for one in asked]
    await model.check(tx, [row["id"] for row in made])
    return made


async def _insert(tx: Tx, asked: dict[str, Any]) -> Row:
    registered_limit_id = await _registered(tx, asked)
    target = await _target(tx, asked)
    args = registered_limit_id, target["id"], asked["resource_limit"], asked.get("description"), clock.now()
    limit_id = await tx.fetchval(INSERT, new_hex_id(), *args)
    if limit_id is None:
        raise Conflict("Conflict occurred attempting to store limit - Duplicate entry.")
    event = LimitCreated(
        limit_id=limit_id,
        registered_limit_id=registered_limit_id,
        target=target["id"],
        resource_limit=asked["resource_limit"],
    )
    tx.publish(event, project_id="" if target["is_domain"] else target["id"])
    return await limit_find(tx, limit_id)


async def _registered(tx: Tx, asked: dict[str, Any]) -> str:
    service_id, region_id = asked["service_id"], asked.get("region_id")
    found = await tx.fetchval(REGISTERED, service_id, region_id, asked["resource_name"])
    if found is not None:
        return str(found)
    if not await tx.fetchval(SERVICE_EXISTS, service_id):
        raise BadRequest("The service_id of the limit names no service.")
    if region_id is not None and not await tx.fetchval(REGION_EXISTS, region_id):
        raise BadRequest("The region_id of the limit names no region.")
    raise Forbidden("Unable to create a limit that has no corresponding registered limit.")


async def _target(tx: Tx, asked: dict[str, Any]) -> Row:
    """The project or domain. A domain may be called a project, which it is, but not the other way round."""
    name = "project_id" if "project_id" in asked else "domain_id"
    row = await tx.fetchrow(HOLD_TARGET, asked[name]) if asked[name] is not None else None
    if row is None or (name == "domain_id" and not row["is_domain"]):
        raise BadRequest(f"The {name} of the limit names no {name.removesuffix('_id')}.")
    return row


async def limit_update(tx: Tx, model: LimitModel, limit_id: str, asked: dict[str, Any]) -> Row:
    """Change a limit's number or description. Raises NotFound, or Forbidden when the model does not allow it."""
    await limits_lock(tx)
    old = await limit_find(tx, limit_id)
    if old is None:
        raise missing("limit", limit_id)
    number = asked.get("resource_limit", old["resource_limit"])
    await tx.execute(UPDATE, limit_id, number, asked.get("description", old["description"]))
    await model.check(tx, [limit_id])
    event = LimitUpdated(limit_id=limit_id, target=old["target_id"], resource_limit=number)
    tx.publish(event, project_id="" if old["is_domain"] else old["target_id"])
    return await limit_find(tx, limit_id)


async def limit_delete(tx: Tx, limit_id: str) -> None:
    """Let the default hold again. Raises NotFound."""
    await limits_lock(tx)
    old = await limit_find(tx, limit_id)
    if old is None:
        raise missing("limit", limit_id)
    await tx.execute(DELETE, limit_id)
    event = LimitDeleted(limit_id=limit_id, target=old["target_id"])
    tx.publish(event, project_id="" if old["is_domain"] else old["target_id"])


def limit_view(row: Row, base: str) -> dict[str, Any]:
    """A limit as the API shows it."""
    return {
        "id": row["id"],
        "project_id": None if row["is_domain"] else row["target_id"],
        "domain_id": row["target_id"] if row["is_domain"] else None,
        "service_id": row["service_id"],
        "region_id": row["region_id"],
        "resource_name": row["resource_name"],
        "resource_limit": row["resource_limit"],
        "description": row["description"],
        "links": {"self": f"{base}/limits/{row['id']}"},
    }

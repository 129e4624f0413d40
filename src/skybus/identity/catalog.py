"""Regions, services and endpoints: their rows, and the catalog that clients find everything by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import asyncpg

from skybus import clock
from skybus.errors import BadRequest, Conflict, Forbidden
from skybus.identity.rows import extra_of, missing
from skybus.ids import new_hex_id
from skybus.messages.identity import CatalogChanged
from skybus.store import Tx

Row = Any
PRIVATE = frozenset(("links", "id"))

REGION_LIST = "SELECT r.id, r.description, r.parent_region_id, r.extra FROM identity.region r"
REGION_GET = f"{REGION_LIST} WHERE r.id = $1"
REGION_INSERT = """
INSERT INTO identity.region (id, description, parent_region_id, extra, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
RETURNING id, description, parent_region_id, extra
"""
REGION_UPDATE = """
UPDATE identity.region SET description = $2, parent_region_id = $3, extra = $4 WHERE id = $1
RETURNING id, description, parent_region_id, extra
"""
REGION_DELETE = "DELETE FROM identity.region WHERE id = $1"
REGION_CIRCLE = """
WITH RECURSIVE up (id) AS (
    SELECT $2::text UNION SELECT r.parent_region_id FROM identity.region r JOIN up ON r.id = up.id
)
SELECT EXISTS (SELECT 1 FROM up WHERE id = $1)
"""
REGION_KNOWN = frozenset(("description", "parent_region_id"))

SERVICE_LIST = "SELECT s.id, s.type, s.enabled, s.extra FROM identity.service s"
SERVICE_GET = f"{SERVICE_LIST} WHERE s.id = $1"
SERVICE_INSERT = """
INSERT INTO identity.service (id, type, enabled, extra, created_at) VALUES ($1, $2, $3, $4, $5)
RETURNING id, type, enabled, extra
"""
SERVICE_UPDATE = """
UPDATE identity.service SET type = $2, enabled = $3, extra = $4 WHERE id = $1 RETURNING id, type, enabled, extra
"""
SERVICE_DELETE = "DELETE FROM identity.service WHERE id = $1"
SERVICE_KNOWN = frozenset(("type", "enabled"))

ENDPOINT_COLUMNS = "id, service_id, interface, region_id, url, enabled, extra"
ENDPOINT_LIST = (
    "SELECT e.id, e.service_id, e.interface, e.region_id, e.url, e.enabled, e.extra FROM identity.endpoint e"
)
ENDPOINT_GET = f"{ENDPOINT_LIST} WHERE e.id = $1"
ENDPOINT_INSERT = f"""
INSERT INTO identity.endpoint (id, service_id, interface, region_id, url, enabled, extra, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING {ENDPOINT_COLUMNS}
"""
ENDPOINT_UPDATE = f"""
UPDATE identity.endpoint
   SET service_id = $2, interface = $3, region_id = $4, url = $5, enabled = $6, extra = $7
 WHERE id = $1
RETURNING {ENDPOINT_COLUMNS}
"""
ENDPOINT_DELETE = "DELETE FROM identity.endpoint WHERE id = $1"
ENDPOINT_KNOWN = frozenset(("service_id", "interface", "region_id", "region", "url", "enabled"))

CATALOG = """
SELECT s.id AS service_id, s.type, s.extra ->> 'name' AS name, e.id, e.interface, e.region_id, e.url
  FROM identity.service s LEFT JOIN identity.endpoint e ON e.service_id = s.id AND e.enabled
 WHERE s.enabled
 ORDER BY s.created_at, s.id, e.created_at, e.id
"""
_VARIABLE = re.compile(r"[$%]\((\w+)\)s")


async def _changed(tx: Tx, kind: str, identifier: str, change: str) -> None:
    tx.publish(CatalogChanged(kind=kind, id=identifier, change=change), project_id="")


async def region_get(db: Any, region_id: str) -> Row:
    """The region. Raises NotFound."""
    row = await db.fetchrow(REGION_GET, region_id)
    if row is None:
        raise missing("region", region_id)
    return row


async def region_insert(tx: Tx, asked: dict[str, Any]) -> Row:
    """Make a region, by the id that the request gives or by a new one. Raises NotFound or Conflict."""
    parent = asked.get("parent_region_id")
    if parent is not None:
        await region_get(tx, parent)
    row = await tx.fetchrow(
        REGION_INSERT,
        asked.get("id") or new_hex_id(),
        asked.get("description") or "",
        parent,
        extra_of(asked, REGION_KNOWN | PRIVATE),
        clock.now(),
    )
    if row is None:
        raise Conflict("Conflict occurred attempting to store region - the id is in use.")
    await _changed(tx, "region", row["id"], "created")
    return row


async def region_update(tx: Tx, region_id: str, asked: dict[str, Any]) -> Row:
    """Change a region. Raises NotFound, or BadRequest for a region that would be its own ancestor."""
    old = await region_get(tx, region_id)
    parent = asked.get("parent_region_id", old["parent_region_id"])
    if parent is not None:
        await region_get(tx, parent)
        await tx.lock("identity", "region")
        if await tx.fetchval(REGION_CIRCLE, region_id, parent):
            raise BadRequest("A region cannot be below itself.")
    row = await tx.fetchrow(
        REGION_UPDATE,
        region_id,
        asked.get("description", old["description"]) or "",
        parent,
        extra_of(asked, REGION_KNOWN | PRIVATE, old["extra"]),
    )
    await _changed(tx, "region", region_id, "updated")
    return row


async def region_delete(tx: Tx, region_id: str) -> None:
    """Delete a region and those below it. Raises NotFound, or Forbidden while there are endpoints in them."""
    try:
        if await tx.execute(REGION_DELETE, region_id) != "DELETE 1":
            raise missing("region", region_id)
    except asyncpg.ForeignKeyViolationError:
        raise Forbidden(
            f"Unable to delete region {region_id} because it or its child regions have associated endpoints."
        ) from None
    await _changed(tx, "region", region_id, "deleted")


async def service_get(db: Any, service_id: str) -> Row:
    """The service. Raises NotFound."""
    row = await db.fetchrow(SERVICE_GET, service_id)
    if row is None:
        raise missing("service", service_id)
    return row


async def service_insert(tx: Tx, asked: dict[str, Any], service_id: str | None = None) -> Row:
    """Make a service."""
    extra = extra_of(asked, SERVICE_KNOWN | PRIVATE)
    args = asked["type"], asked.get("enabled", True), extra, clock.now()
    row = await tx.fetchrow(SERVICE_INSERT, service_id or new_hex_id(), *args)
    assert row is not None
    await _changed(tx, "service", row["id"], "created")
    return row


async def service_update(tx: Tx, service_id: str, asked: dict[str, Any]) -> Row:
    """Change a service. Raises NotFound."""
    old = await service_get(tx, service_id)
    extra = extra_of(asked, SERVICE_KNOWN | PRIVATE, old["extra"])
    row = await tx.fetchrow(
        SERVICE_UPDATE, service_id, asked.get("type", old["type"]), asked.get("enabled", old["enabled"]), extra
    )
    await _changed(tx, "service", service_id, "updated")
    return row


async def service_delete(tx: Tx, service_id: str) -> None:
    """Delete a service and its endpoints. Raises NotFound."""
    if await tx.execute(SERVICE_DELETE, service_id) != "DELETE 1":
        raise missing("service", service_id)
    await _changed(tx, "service", service_id, "deleted")


async def endpoint_get(db: Any, endpoint_id: str) -> Row:
    """The endpoint. Raises NotFound."""
    row = await db.fetchrow(ENDPOINT_GET, endpoint_id)
    if row is None:
        raise missing("endpoint", endpoint_id)
    return row


async def endpoint_insert(tx: Tx, asked: dict[str, Any], endpoint_id: str | None = None) -> Row:
    """Make an endpoint. A region named by `region` is made when there is none. Raises NotFound."""
    return await _endpoint_store(tx, ENDPOINT_INSERT, endpoint_id or new_hex_id(), asked, None)


async def endpoint_update(tx: Tx, endpoint_id: str, asked: dict[str, Any]) -> Row:
    """Change an endpoint. Raises NotFound."""
    return await _endpoint_store(tx, ENDPOINT_UPDATE, endpoint_id, asked, await endpoint_get(tx, endpoint_id))


async def _endpoint_store(tx: Tx, sql: str, endpoint_id: str, asked: dict[str, Any], old: Row | None) -> Row:
    before: Mapping[str, Any] = dict(old) if old is not None else {"region_id": None, "enabled": True, "extra": {}}
    service_id = str(asked.get("service_id", before.get("service_id")))
    await service_get(tx, service_id)
    region_id = asked.get("region_id", before["region_id"])
    if asked.get("region_id") is not None:
        await region_get(tx, region_id)
    elif asked.get("region") and "region_id" not in asked:
        region_id = asked["region"]
        await tx.fetchrow(REGION_INSERT, region_id, "", None, {}, clock.now())
    args = [
        endpoint_id,
        service_id,
        asked.get("interface", before.get("interface")),
        region_id,
        asked.get("url", before.get("url")),
        asked.get("enabled", before["enabled"]),
        extra_of(asked, ENDPOINT_KNOWN | PRIVATE, before["extra"]),
    ]
    row = await tx.fetchrow(sql, *args, *([clock.now()] if old is None else []))
    await _changed(tx, "endpoint", endpoint_id, "created" if old is None else "updated")
    return row


async def endpoint_delete(tx: Tx, endpoint_id: str) -> None:
    """Delete an endpoint. Raises NotFound."""
    if await tx.execute(ENDPOINT_DELETE, endpoint_id) != "DELETE 1":
        raise missing("endpoint", endpoint_id)
    await _changed(tx, "endpoint", endpoint_id, "deleted")


async def catalog_rows(db: Any) -> list[Row]:
    """What is enabled, one row an endpoint, in order of service."""
    return list(await db.fetch(CATALOG))


def catalog_view(rows: Iterable[Row], *, user_id: str, project_id: str | None) -> list[dict[str, Any]]:
    """The catalog as one caller sees it. An endpoint whose URL needs a project is left out where there is none."""
    services: dict[str, dict[str, Any]] = {}
    for row in rows:
        service = services.get(row["service_id"])
        if service is None:
            name = row["name"] or ""
            service = {"id": row["service_id"], "type": row["type"], "name": name, "endpoints": []}
            services[row["service_id"]] = service
        url = None if row["id"] is None else _filled(row["url"], user_id, project_id)
        if url is not None:
            region = row["region_id"]
            endpoint = {"id": row["id"], "interface": row["interface"], "region": region, "region_id": region}
            service["endpoints"].append({**endpoint, "url": url})
    return list(services.values())


def unknown_variables(url: str) -> list[str]:
    """The variables in an endpoint's URL that nobody fills."""
    return [name for name in _VARIABLE.findall(url) if name not in ("tenant_id", "project_id", "user_id")]


def _filled(url: str, user_id: str, project_id: str | None) -> str | None:
    values = {"tenant_id": project_id, "project_id": project_id, "user_id": user_id}
    if any(values.get(name) is None for name in _VARIABLE.findall(url)):
        return None
    return _VARIABLE.sub(lambda match: str(values[match.group(1)]), url)


def region_view(row: Row, base: str) -> dict[str, Any]:
    """A region as the API shows it."""
    return {
        **row["extra"],
        "id": row["id"],
        "description": row["description"],
        "parent_region_id": row["parent_region_id"],
        "links": {"self": f"{base}/regions/{row['id']}"},
    }


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


def endpoint_view(row: Row, base: str) -> dict[str, Any]:
    """An endpoint as the API shows it."""
    return {
        **row["extra"],
        "id": row["id"],
        "service_id": row["service_id"],
        "interface": row["interface"],
        "region": row["region_id"],
        "region_id": row["region_id"],
        "url": row["url"],
        "enabled": row["enabled"],
        "links": {"self": f"{base}/endpoints/{row['id']}"},
    }

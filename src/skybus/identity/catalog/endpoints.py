"""Endpoints of services: their rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from skybus import clock
from skybus.identity.catalog.regions import region_ensure, region_hold
from skybus.identity.catalog.services import service_hold
from skybus.identity.rows import extra_of, missing
from skybus.ids import new_hex_id
from skybus.messages.identity import CatalogChanged
from skybus.store import Tx

COLUMNS = "e.id, e.service_id, e.interface, e.region_id, e.url, e.enabled, e.extra"
LIST = f"SELECT {COLUMNS} FROM identity.endpoint e"
GET = f"{LIST} WHERE e.id = $1"
HOLD = f"{LIST} WHERE e.id = $1 FOR KEY SHARE"
LOCK = f"{LIST} WHERE e.id = $1 FOR UPDATE"
INSERT = f"""
INSERT INTO identity.endpoint AS e (id, service_id, interface, region_id, url, enabled, extra, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING {COLUMNS}
"""
UPDATE = f"""
UPDATE identity.endpoint AS e
   SET service_id = $2, interface = $3, region_id = $4, url = $5, enabled = $6, extra = $7
 WHERE id = $1
RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM identity.endpoint WHERE id = $1"
KNOWN = frozenset(("id", "service_id", "interface", "region_id", "region", "url", "enabled"))
PRIVATE = frozenset(("links",))
INTERFACES = ("public", "internal", "admin")
VARIABLE = re.compile(r"[$%]\((\w+)\)s")
"""A place in a URL that the catalog fills for each caller."""

Row = Any


async def endpoint_get(db: Any, endpoint_id: str) -> Row:
    """The endpoint. Raises NotFound."""
    row = await db.fetchrow(GET, endpoint_id)
    if row is None:
        raise missing("endpoint", endpoint_id)
    return row


async def endpoint_hold(tx: Tx, endpoint_id: str) -> Row:
    """The endpoint, which cannot be deleted before `tx` ends. Raises NotFound."""
    row = await tx.fetchrow(HOLD, endpoint_id)
    if row is None:
        raise missing("endpoint", endpoint_id)
    return row


async def endpoint_insert(tx: Tx, asked: dict[str, Any], endpoint_id: str | None = None) -> Row:
    """Make an endpoint. A region named by `region` is made when there is none. Raises NotFound."""
    asked = await _placed(tx, asked)
    before: dict[str, Any] = {"region_id": None, "enabled": True, "extra": {}}
    row = await tx.fetchrow(INSERT, endpoint_id or new_hex_id(), *_values(asked, before), clock.now())
    assert row is not None
    _tell(tx, row["id"], "created")
    return row


async def endpoint_update(tx: Tx, endpoint_id: str, asked: dict[str, Any]) -> Row:
    """Change an endpoint. Raises NotFound, also for a service or a region that is not there."""
    # The service before the endpoint, because whoever deletes a service locks it before its endpoints.
    asked = await _placed(tx, asked)
    old = await tx.fetchrow(LOCK, endpoint_id)
    if old is None:
        raise missing("endpoint", endpoint_id)
    row = await tx.fetchrow(UPDATE, endpoint_id, *_values(asked, dict(old)))
    _tell(tx, endpoint_id, "updated")
    return row


async def _placed(tx: Tx, asked: dict[str, Any]) -> dict[str, Any]:
    """`asked` with the region by its id. The service and the region that it names are held: neither can be deleted
    before the endpoint stands. Raises NotFound."""
    if "service_id" in asked:
        await service_hold(tx, asked["service_id"])
    if asked.get("region_id") is not None:
        await region_hold(tx, asked["region_id"])
    elif asked.get("region") and "region_id" not in asked:
        return {**asked, "region_id": (await region_ensure(tx, asked["region"]))["id"]}
    return asked


def _values(asked: Mapping[str, Any], before: Mapping[str, Any]) -> list[Any]:
    """Its columns from the service on."""
    return [
        *(asked.get(name, before.get(name)) for name in ("service_id", "interface", "region_id", "url", "enabled")),
        extra_of(asked, KNOWN | PRIVATE, before["extra"]),
    ]


async def endpoint_delete(tx: Tx, endpoint_id: str) -> None:
    """Delete an endpoint. Raises NotFound."""
    if await tx.execute(DELETE, endpoint_id) != "DELETE 1":
        raise missing("endpoint", endpoint_id)
    _tell(tx, endpoint_id, "deleted")


def _tell(tx: Tx, endpoint_id: str, change: str) -> None:
    tx.publish(CatalogChanged(kind="endpoint", id=endpoint_id, change=change), project_id="")


def unknown_variables(url: str) -> list[str]:
    """The variables in an endpoint's URL that nobody fills."""
    return [name for name in VARIABLE.findall(url) if name not in ("tenant_id", "project_id", "user_id")]


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

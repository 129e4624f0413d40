"""The catalog that clients find everything by: enabled services and endpoints, as one caller sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from skybus.identity.catalog.endpoints import VARIABLE

Row = Any

ROWS = """
SELECT s.id AS service_id, s.type, s.extra ->> 'name' AS name, e.id, e.interface, e.region_id, e.url
  FROM identity.service s LEFT JOIN identity.endpoint e ON e.service_id = s.id AND e.enabled
 WHERE s.enabled
 ORDER BY s.created_at, s.id, e.created_at, e.id
"""
# Endpoints that were given to projects, one by one or by groups; disabled ones, too, for a project that was given
# nothing but these sees nothing, rather than everything.
CHOSEN = """
SELECT p.project_id, p.endpoint_id FROM identity.project_endpoint p
UNION
SELECT p.project_id, e.id
  FROM identity.project_endpoint_group p
  JOIN identity.endpoint_group g ON g.id = p.endpoint_group_id
  JOIN identity.endpoint e
    ON jsonb_build_object('service_id', e.service_id, 'region_id', e.region_id, 'interface', e.interface) @> g.filters
"""


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """What every caller's catalog is made from."""

    rows: list[Row]
    """What is enabled, one row an endpoint, in order of service."""
    chosen: Mapping[str, frozenset[str]]
    """Ids of the endpoints that were given to a project, by the project's id."""


async def catalog_read(db: Any) -> Catalog:
    """The catalog as it stands."""
    chosen: dict[str, set[str]] = {}
    rows = list(await db.fetch(ROWS))
    for row in await db.fetch(CHOSEN):
        chosen.setdefault(row["project_id"], set()).add(row["endpoint_id"])
    return Catalog(rows=rows, chosen={project: frozenset(ids) for project, ids in chosen.items()})


def catalog_view(catalog: Catalog, *, user_id: str, project_id: str | None) -> list[dict[str, Any]]:
    """The catalog as one caller sees it. An endpoint whose URL needs a project is left out where there is none.

    A project to which endpoints were given sees these alone, and no service without any of them.
    """
    chosen = catalog.chosen.get(project_id) if project_id is not None else None
    services: dict[str, dict[str, Any]] = {}
    for row in catalog.rows:
        service = services.get(row["service_id"])
        if service is None:
            name = row["name"] or ""
            service = {"id": row["service_id"], "type": row["type"], "name": name, "endpoints": []}
            services[row["service_id"]] = service
        if chosen is not None and row["id"] not in chosen:
            continue
        url = None if row["id"] is None else _filled(row["url"], user_id, project_id)
        if url is not None:
            region = row["region_id"]
            endpoint = {"id": row["id"], "interface": row["interface"], "region": region, "region_id": region}
            service["endpoints"].append({**endpoint, "url": url})
    return [service for service in services.values() if chosen is None or service["endpoints"]]


def _filled(url: str, user_id: str, project_id: str | None) -> str | None:
    values = {"tenant_id": project_id, "project_id": project_id, "user_id": user_id}
    if any(values.get(name) is None for name in VARIABLE.findall(url)):
        return None
    return VARIABLE.sub(lambda match: str(values[match.group(1)]), url)

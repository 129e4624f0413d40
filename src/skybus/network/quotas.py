"""How much of the network a project may own. Counted in the inserting transaction, so it cannot drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skybus.network import errors
from skybus.network.errors import invalid

DEFAULTS: Mapping[str, int] = {
    "network": 100,
    "subnet": 100,
    "port": 500,
    "security_group": 10,
    "security_group_rule": 100,
}
"""Neutron's own; below zero means no limit."""

LIMITS = "SELECT resource, most FROM network.quota WHERE project_id = $1"
LIMIT = "SELECT most FROM network.quota WHERE project_id = $1 AND resource = $2"
ALL = "SELECT project_id, resource, most FROM network.quota ORDER BY project_id"
SET = """
INSERT INTO network.quota (project_id, resource, most) VALUES ($1, $2, $3)
ON CONFLICT (project_id, resource) DO UPDATE SET most = excluded.most
"""
RESET = "DELETE FROM network.quota WHERE project_id = $1"

# The cloud's own DHCP ports are nobody's to answer for.
COUNTS: Mapping[str, str] = {
    "network": "SELECT count(*) FROM network.network WHERE project_id = $1",
    "subnet": "SELECT count(*) FROM network.subnet WHERE project_id = $1",
    "port": "SELECT count(*) FROM network.port WHERE project_id = $1 AND device_owner <> 'network:dhcp'",
    "security_group": "SELECT count(*) FROM network.security_group WHERE project_id = $1",
    "security_group_rule": "SELECT count(*) FROM network.security_group_rule WHERE project_id = $1",
}
USED = "SELECT " + ", ".join(f"({sql}) AS {name}" for name, sql in COUNTS.items())


async def quota_claim(tx: Any, project_id: str, resource: str, more: int = 1) -> None:
    """Hold the project's quota lock and make sure that `more` of `resource` fit. Raises OverQuota (409).

    Call it before the rows are inserted and before anything else of the request waits for a lock: two requests that
    take the same locks in different order would wait for each other.
    """
    limit = await _limit(tx, project_id, resource)
    if limit < 0:
        return
    await tx.lock("quota", project_id)
    used = await tx.fetchval(COUNTS[resource], project_id)
    if used + more > limit:
        raise errors.over_quota([resource])


async def _limit(tx: Any, project_id: str, resource: str) -> int:
    own = await tx.fetchval(LIMIT, project_id, resource)
    return DEFAULTS[resource] if own is None else int(own)


async def quota_get(store: Any, project_id: str) -> dict[str, int]:
    """Every limit of a project."""
    own = {row["resource"]: row["most"] for row in await store.fetch(LIMITS, project_id)}
    return {name: own.get(name, default) for name, default in DEFAULTS.items()}


async def quota_used(store: Any, project_id: str) -> dict[str, int]:
    """How much of each resource a project has."""
    row = await store.fetchrow(USED, project_id)
    return {name: row[name] for name in DEFAULTS}


async def quota_list(store: Any) -> dict[str, dict[str, int]]:
    """The limits of every project that has some of its own."""
    found: dict[str, dict[str, int]] = {}
    for row in await store.fetch(ALL):
        found.setdefault(row["project_id"], dict(DEFAULTS))[row["resource"]] = row["most"]
    return found


async def quota_set(tx: Any, project_id: str, limits: Mapping[str, int]) -> None:
    """Change some limits. Raises BadRequest for a resource that has none."""
    unknown = set(limits) - set(DEFAULTS)
    if unknown:
        raise invalid(f"unknown quota resources {sorted(unknown)}")
    for name, most in limits.items():
        await tx.execute(SET, project_id, name, most)


async def quota_reset(tx: Any, project_id: str) -> None:
    """Give a project the defaults again."""
    await tx.execute(RESET, project_id)

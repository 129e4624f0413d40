"""What existence amounts to over a period [start, end): sums, and the rows behind them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

# Seconds of a row within the period, as exact microseconds; an end before the beginning counts for nothing.
MICROSECONDS = """
GREATEST(0, (extract(epoch FROM LEAST(COALESCE(ended_at, $2), $2) - GREATEST(started_at, $1)) * 1000000)::bigint)
"""
WITHIN = "started_at < $2 AND (ended_at IS NULL OR ended_at > $1) AND ($3::text IS NULL OR project_id = $3)"
SERVERS = f"""
SELECT project_id, count(*) AS servers, sum(us)::text AS us, sum(us * vcpus)::text AS vcpu_us,
       sum(us * memory_mib)::text AS memory_us, sum(us * disk_gib)::text AS disk_us
  FROM (SELECT project_id, vcpus::numeric, memory_mib::numeric, disk_gib::numeric, {MICROSECONDS} AS us
          FROM metering.existence WHERE resource_type = 'server' AND {WITHIN}) e
 GROUP BY project_id ORDER BY project_id
"""
VOLUMES = f"""
SELECT project_id, volume_type, sum(us)::text AS us, sum(us * disk_gib)::text AS gib_us
  FROM (SELECT project_id, volume_type, disk_gib::numeric, {MICROSECONDS} AS us
          FROM metering.existence WHERE resource_type = 'volume' AND {WITHIN}) e
 GROUP BY project_id, volume_type ORDER BY project_id, volume_type
"""
PAGE = f"""
SELECT resource_id, project_id, name, flavor_name, vcpus, memory_mib, disk_gib, started_at, ended_at,
       {MICROSECONDS} AS us
  FROM metering.existence
 WHERE resource_type = 'server' AND {WITHIN} AND ($4::text IS NULL OR (project_id, resource_id) > ($4, $5::uuid))
 ORDER BY project_id, resource_id LIMIT $6
"""
MARKER = "SELECT project_id FROM metering.existence WHERE resource_type = 'server' AND resource_id = $1"

MILLION = 1_000_000


class ServerUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What a project's servers amount to, in microseconds of each."""

    servers: int
    server_us: int
    vcpu_us: int
    memory_mib_us: int
    disk_gib_us: int

    @property
    def server_seconds(self) -> float:
        """For people; sums are kept in microseconds."""
        return self.server_us / MILLION


class VolumeUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What a project's volumes of one type amount to, in microseconds."""

    volume_us: int
    gib_us: int

    @property
    def gib_seconds(self) -> float:
        """For people; sums are kept in microseconds."""
        return self.gib_us / MILLION


async def server_usage(
    store: Any, start: datetime, end: datetime, project_id: str | None = None
) -> Mapping[str, ServerUsage]:
    """By project, those with a server in the period; one project alone when it is named."""
    return {
        row["project_id"]: ServerUsage(
            servers=row["servers"],
            server_us=int(row["us"]),
            vcpu_us=int(row["vcpu_us"]),
            memory_mib_us=int(row["memory_us"]),
            disk_gib_us=int(row["disk_us"]),
        )
        for row in await store.fetch(SERVERS, start, end, project_id)
    }


async def volume_usage(
    store: Any, start: datetime, end: datetime, project_id: str | None = None
) -> Mapping[tuple[str, str], VolumeUsage]:
    """By (project, volume type), those with a volume in the period."""
    return {
        (row["project_id"], row["volume_type"]): VolumeUsage(volume_us=int(row["us"]), gib_us=int(row["gib_us"]))
        for row in await store.fetch(VOLUMES, start, end, project_id)
    }


async def servers_page(
    store: Any,
    start: datetime,
    end: datetime,
    *,
    project_id: str | None,
    after: tuple[str, str] | None,
    limit: int,
) -> list[Any]:
    """The servers of the period in the order of (project, id), behind `after`; `us` is each one's share of it."""
    behind = after or (None, None)
    return list(await store.fetch(PAGE, start, end, project_id, *behind, limit))


async def marker_project(store: Any, server_id: str) -> str | None:
    """The project of a metered server, None when there is none."""
    found = await store.fetchval(MARKER, server_id)
    return None if found is None else str(found)

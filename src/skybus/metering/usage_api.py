"""os-simple-tenant-usage, which the compute API includes: how long the servers of each project existed.

A server counts from its first boot to its deletion, stopped or not, with its flavor.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from skybus import clock
from skybus.errors import BadRequest
from skybus.http.call import Call, Reply
from skybus.http.paging import next_url
from skybus.http.routes import NO_BODY, Route
from skybus.http.times import micros
from skybus.ids import is_uuid
from skybus.metering.usage import ServerUsage, marker_project, server_usage, servers_page

RULE = "os_compute_api:os-simple-tenant-usage"
PAGED_SINCE = (2, 40)
STRICT_SINCE = (2, 75)
MOST = 1000
"""Servers of one page."""

_FORMATS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f")
_KNOWN = {"start", "end", "detailed", "limit", "marker"}
_HOUR_US = 3_600_000_000


def _moment(text: str | None, otherwise: datetime) -> datetime:
    if not text:
        return otherwise
    for form in _FORMATS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise BadRequest(f"Invalid datetime string: {text[:64]!r} is in an invalid format.")


def _period(call: Call) -> tuple[datetime, datetime]:
    """The period asked for, up to now at most. Raises BadRequest."""
    now = clock.now()
    start = _moment(call.query.get("start"), now)
    end = _moment(call.query.get("end"), now + timedelta(microseconds=1))
    if start >= end:
        raise BadRequest("Invalid start time. The start time cannot occur after the end time.")
    return start, min(end, now)


def _check_query(call: Call) -> None:
    if call.version >= STRICT_SINCE:
        for name in call.query:
            if name not in _KNOWN:
                raise BadRequest(f"Additional properties are not allowed ({name[:64]!r} was unexpected)")


def _limit(call: Call) -> int:
    text = call.query.get("limit")
    if text is None:
        return MOST
    if not text.isdecimal() or len(text) > 9:
        raise BadRequest(
            f"Invalid input for query parameters limit. Value: {text[:32]}. It is no non-negative integer."
        )
    return min(int(text) or MOST, MOST)


async def _rows(call: Call, start: datetime, end: datetime, project_id: str | None) -> tuple[list[Any], str | None]:
    """The page of servers that is asked for, and the marker of the next one."""
    paged = call.version >= PAGED_SINCE
    limit = _limit(call) if paged else MOST
    after, marker = None, call.query.get("marker") if paged else None
    if marker:
        known = await marker_project(call.store, marker) if is_uuid(marker) else None
        if known is None:
            raise BadRequest(f"Marker {marker[:64]} could not be found.")
        after = (known, marker)
    rows = await servers_page(call.store, start, end, project_id=project_id, after=after, limit=limit + 1)
    more = len(rows) > limit
    rows = rows[:limit]
    return rows, rows[-1]["resource_id"] if more and paged else None


def _server(row: Any) -> dict[str, Any]:
    ended = row["ended_at"]
    lasted: timedelta = (ended or clock.now()) - row["started_at"]
    return {
        "instance_id": row["resource_id"],
        "name": row["name"],
        "tenant_id": row["project_id"],
        "flavor": row["flavor_name"],
        "vcpus": row["vcpus"],
        "memory_mb": row["memory_mib"],
        "local_gb": row["disk_gib"],
        "hours": row["us"] / _HOUR_US,
        "started_at": micros(row["started_at"]),
        "ended_at": micros(ended),
        "state": "terminated" if ended else "active",
        "uptime": max(0, int(lasted.total_seconds())),
    }


def _sum(rows: Sequence[Any]) -> ServerUsage:
    return ServerUsage(
        servers=len(rows),
        server_us=sum(row["us"] for row in rows),
        vcpu_us=sum(row["us"] * row["vcpus"] for row in rows),
        memory_mib_us=sum(row["us"] * row["memory_mib"] for row in rows),
        disk_gib_us=sum(row["us"] * row["disk_gib"] for row in rows),
    )


def _summary(
    project_id: str, usage: ServerUsage, start: datetime, end: datetime, rows: Sequence[Any] | None
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "tenant_id": project_id,
        "start": micros(start),
        "stop": micros(end),
        "total_hours": usage.server_us / _HOUR_US,
        "total_vcpus_usage": usage.vcpu_us / _HOUR_US,
        "total_memory_mb_usage": usage.memory_mib_us / _HOUR_US,
        "total_local_gb_usage": usage.disk_gib_us / _HOUR_US,
    }
    if rows is not None:
        shown["server_usages"] = [_server(row) for row in rows]
    return shown


async def _summaries(call: Call, project_id: str | None, *, detailed: bool) -> tuple[list[dict[str, Any]], str | None]:
    """One summary for each project, and the marker of the next page.

    From 2.40 on a summary tells of its page; before, there are no pages, and it tells of all servers.
    """
    _check_query(call)
    start, end = _period(call)
    rows, marker = await _rows(call, start, end, project_id)
    by_project: dict[str, list[Any]] = {}
    for row in rows:
        by_project.setdefault(row["project_id"], []).append(row)
    if call.version >= PAGED_SINCE:
        sums = {project: _sum(several) for project, several in by_project.items()}
    else:
        sums = dict(await server_usage(call.store, start, end, project_id))
    return [
        _summary(project, usage, start, end, by_project.get(project, []) if detailed else None)
        for project, usage in sums.items()
    ], marker


def _links(call: Call, path: str, marker: str | None) -> list[dict[str, str]]:
    return [] if marker is None else [{"rel": "next", "href": next_url(call, f"{call.base}{path}", marker)}]


async def list_usage(call: Call) -> Reply:
    """Every project's."""
    shown, marker = await _summaries(call, None, detailed=call.query.get("detailed") == "1")
    body: dict[str, Any] = {"tenant_usages": shown}
    links = _links(call, "/os-simple-tenant-usage", marker)
    if links:
        body["tenant_usages_links"] = links
    return Reply(body)


async def show_usage(call: Call) -> Reply:
    """One project's, with its servers."""
    project_id = call.args["tenant_id"]
    call.require(f"{RULE}:show", project_id=project_id)
    shown, marker = await _summaries(call, project_id.replace("\0", ""), detailed=True)
    body: dict[str, Any] = {"tenant_usage": shown[0] if shown else {}}
    links = _links(call, f"/os-simple-tenant-usage/{project_id}", marker)
    if links:
        body["tenant_usage_links"] = links
    return Reply(body)


USAGE_ROUTES: list[Route] = [
    Route(method="GET", path="/os-simple-tenant-usage", handler=list_usage, policy=f"{RULE}:list", body=NO_BODY),
    Route(
        method="GET",
        path="/os-simple-tenant-usage/{tenant_id}",
        handler=show_usage,
        policy=f"{RULE}:show",
        body=NO_BODY,
    ),
]

"""Routes of hypervisors: administrators' view of the hosts."""

from __future__ import annotations

from typing import Any

import msgspec

from skybus import clock
from skybus.compute import hosts
from skybus.compute.asked import MAX_LIMIT, boolean
from skybus.errors import BadRequest, NotFound
from skybus.http.call import Call, Reply
from skybus.http.paging import next_url, page_of
from skybus.http.routes import NO_BODY, Route
from skybus.http.versions import Version
from skybus.ids import is_uuid
from skybus.placement.inventory import usage_by_host

API = "os_compute_api:os-hypervisors:"
PAGES_SINCE: Version = (2, 33)
UUIDS_SINCE: Version = (2, 53)
LEAN_SINCE: Version = (2, 88)

Amounts = dict[str, tuple[int, int]]
"""Resource class to (total, used)."""


def _brief(call: Call, host: Any) -> dict[str, Any]:
    return {
        "id": host["hypervisor_id"] if call.version >= UUIDS_SINCE else host["number"],
        "hypervisor_hostname": host["name"],
        "state": "up" if host["up"] else "down",
        "status": "disabled" if host["disabled"] else "enabled",
    }


def _full(call: Call, host: Any, amounts: Amounts, load: tuple[int, int]) -> dict[str, Any]:
    uuids = call.version >= UUIDS_SINCE
    view = {
        **_brief(call, host),
        "hypervisor_type": host["hypervisor_type"],
        "hypervisor_version": host["hypervisor_version"],
        "host_ip": host["address"],
        "service": {
            "id": host["service_id"] if uuids else host["number"],
            "host": host["name"],
            "disabled_reason": host["disabled_reason"],
        },
    }
    if call.version >= LEAN_SINCE:
        view["uptime"] = _uptime(host) if host["up"] else None
        return view
    cpu_info = host["cpu_info"]
    view["cpu_info"] = cpu_info if call.version >= (2, 28) else msgspec.json.encode(cpu_info).decode()
    return {**view, **_amounts(host, amounts, load)}


def _amounts(host: Any, amounts: Amounts, load: tuple[int, int]) -> dict[str, int]:
    used = {name: amounts.get(name, (0, 0))[1] for name in ("VCPU", "MEMORY_MB", "DISK_GB")}
    free_disk = host["disk_gib"] - used["DISK_GB"]
    return {
        "vcpus": host["vcpus"],
        "memory_mb": host["memory_mib"],
        "local_gb": host["disk_gib"],
        "vcpus_used": used["VCPU"],
        "memory_mb_used": used["MEMORY_MB"],
        "local_gb_used": used["DISK_GB"],
        "free_ram_mb": host["memory_mib"] - used["MEMORY_MB"],
        "free_disk_gb": free_disk,
        "current_workload": load[1],
        "running_vms": load[0],
        "disk_available_least": free_disk,
    }


def _uptime(host: Any) -> str:
    """How long the host's agent has been up, in the form of uptime(1), which clients take apart."""
    now = clock.now()
    minutes = max(0, int((now - host["started_at"]).total_seconds())) // 60
    days, hours = minutes // 1440, minutes % 1440 // 60
    return f" {now:%H:%M:%S} up {days} days, {hours:2}:{minutes % 60:02},  0 users,  load average: 0.00, 0.00, 0.00"


async def _views(call: Call, rows: list[Any], *, detail: bool, with_servers: bool) -> list[dict[str, Any]]:
    names = [row["name"] for row in rows]
    if detail:
        usage, loads = await usage_by_host(call.store), await hosts.host_loads(call.store, names)
        views = [_full(call, row, usage.get(row["name"], {}), loads.get(row["name"], (0, 0))) for row in rows]
    else:
        views = [_brief(call, row) for row in rows]
    if with_servers:
        servers = await hosts.servers_on(call.store, names)
        for row, view in zip(rows, views, strict=True):
            found = [{"name": one["name"], "uuid": one["id"]} for one in servers[row["name"]]]
            if found or call.version >= (2, 75):
                view["servers"] = found
    return views


async def _marked(call: Call, marker: str | None) -> int | None:
    if marker is None:
        return None
    try:
        return int((await _find(call, marker))["number"])
    except NotFound:
        raise BadRequest(f"marker [{marker[:64]}] not found") from None


async def _listing(call: Call, *, detail: bool) -> Reply:
    version, query = call.version, call.query
    pattern = query.get("hypervisor_hostname_pattern") if version >= UUIDS_SINCE else None
    with_servers = version >= UUIDS_SINCE and boolean(query.get("with_servers", "false"), "with_servers")
    if pattern is not None and ("limit" in query or "marker" in query):
        raise BadRequest(
            "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported."
        )
    paged = version >= PAGES_SINCE and pattern is None
    page = page_of(call, keys={"number": "h.number"}, default_sort="number", default_up=True, max_limit=MAX_LIMIT)
    after = await _marked(call, page.marker) if paged else None
    limit = page.limit if paged else None
    rows = await hosts.host_list(call.store, after=after, pattern=pattern, limit=None if limit is None else limit + 1)
    if pattern is not None and not rows:
        raise NotFound(f"No hypervisor matching '{pattern[:64]}' could be found.")
    shown = rows if limit is None else rows[:limit]
    views = await _views(call, shown, detail=detail, with_servers=with_servers)
    body: dict[str, Any] = {"hypervisors": views}
    if shown and len(rows) > len(shown):
        path = f"{call.base}/os-hypervisors{'/detail' if detail else ''}"
        body["hypervisors_links"] = [{"rel": "next", "href": next_url(call, path, str(views[-1]["id"]), limit)}]
    return Reply(body)


async def list_hypervisors(call: Call) -> Reply:
    """Every host, by name and state."""
    return await _listing(call, detail=False)


async def list_hypervisors_in_detail(call: Call) -> Reply:
    """Every host, with what it has and what of it is used."""
    return await _listing(call, detail=True)


async def _find(call: Call, id_: str) -> Any:
    """The host with that id: a UUID from 2.53 on, a number before. Raises BadRequest or NotFound."""
    uuids = call.version >= UUIDS_SINCE
    if uuids and not is_uuid(id_):
        raise BadRequest(f"Invalid uuid {id_[:64]}")
    for row in await hosts.host_list(call.store):
        if str(row["hypervisor_id"] if uuids else row["number"]) == id_:
            return row
    raise NotFound(f"Hypervisor with ID '{id_[:64]}' could not be found.")


async def show_hypervisor(call: Call) -> Reply:
    """One host."""
    row = await _find(call, call.args["id"])
    asked = call.query.get("with_servers", "false")
    with_servers = call.version >= UUIDS_SINCE and boolean(asked, "with_servers")
    return Reply({"hypervisor": (await _views(call, [row], detail=True, with_servers=with_servers))[0]})


async def show_uptime(call: Call) -> Reply:
    """How long a host has been up."""
    row = await _find(call, call.args["id"])
    if not row["up"]:
        raise BadRequest(f"Compute service of {row['name']} is unavailable at this time.")
    return Reply({"hypervisor": {**_brief(call, row), "uptime": _uptime(row)}})


async def show_statistics(call: Call) -> Reply:
    """What all enabled hosts have together."""
    rows = [row for row in await hosts.host_list(call.store) if not row["disabled"]]
    usage = await usage_by_host(call.store)
    loads = await hosts.host_loads(call.store, [row["name"] for row in rows])
    total = dict.fromkeys(_SUMMED, 0)
    for row in rows:
        amounts = _amounts(row, usage.get(row["name"], {}), loads.get(row["name"], (0, 0)))
        for name, amount in amounts.items():
            total[name] += amount
    return Reply({"hypervisor_statistics": {"count": len(rows), **total}})


_SUMMED = [
    "vcpus",
    "memory_mb",
    "local_gb",
    "vcpus_used",
    "memory_mb_used",
    "local_gb_used",
    "free_ram_mb",
    "free_disk_gb",
    "current_workload",
    "running_vms",
    "disk_available_least",
]


async def _matching(call: Call) -> list[Any]:
    rows = await hosts.host_list(call.store, pattern=call.args["id"])
    if not rows:
        raise NotFound(f"No hypervisor matching '{call.args['id'][:64]}' could be found.")
    return rows


async def search_hypervisors(call: Call) -> Reply:
    """The hosts with a piece of text in their name."""
    return Reply({"hypervisors": [_brief(call, row) for row in await _matching(call)]})


async def list_servers_of_hypervisors(call: Call) -> Reply:
    """The hosts with a piece of text in their name, and their servers."""
    rows = await _matching(call)
    return Reply({"hypervisors": await _views(call, rows, detail=False, with_servers=True)})


def _route(path: str, handler: Any, action: str, until: Version = (9999, 0)) -> Route:
    path = f"/os-hypervisors{path}"
    return Route(method="GET", path=path, handler=handler, policy=API + action, body=NO_BODY, until=until)


ROUTES: list[Route] = [
    _route("", list_hypervisors, "list"),
    _route("/detail", list_hypervisors_in_detail, "list-detail"),
    _route("/statistics", show_statistics, "statistics", (2, 87)),
    _route("/{id}", show_hypervisor, "show"),
    _route("/{id}/uptime", show_uptime, "uptime", (2, 87)),
    _route("/{id}/search", search_hypervisors, "search", (2, 52)),
    _route("/{id}/servers", list_servers_of_hypervisors, "servers", (2, 52)),
]

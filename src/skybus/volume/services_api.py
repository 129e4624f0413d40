"""Routes of storage hosts: their services, their pools, their zones."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest, NotFound
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.http.times import micros
from skybus.placement.inventory import provider_enable, providers, usage_by_host
from skybus.volume.forms import boolean, both
from skybus.volume.pools import pool_list
from skybus.volume.volume_views import BACKEND, POOL
from skybus.volume.zones import zone_names

BINARY = "cinder-volume"


async def list_services(call: Call) -> Reply:
    """GET /os-services: the cinder-volume of each storage host."""
    rows = [row for row in await providers(call.store) if row["kind"] == "volume"]
    host, binary = call.query.get("host"), call.query.get("binary")
    shown = [_service(row) for row in rows if host in (None, "", row["host"], f"{row['host']}@{BACKEND}")]
    return Reply({"services": shown if binary in (None, "", BINARY) else []})


def _service(row: Any) -> dict[str, Any]:
    return {
        "binary": BINARY,
        "host": f"{row['host']}@{BACKEND}",
        "zone": row["availability_zone"],
        "status": "enabled" if row["enabled"] else "disabled",
        "state": "up" if row["up"] else "down",
        "updated_at": micros(row["last_seen"]),
        "disabled_reason": row["disabled_reason"],
    }


async def switch_service(call: Call) -> Reply:
    """PUT /os-services/{action}: enable, disable, disable-log-reason."""
    action, asked = call.args["action"], call.body
    if action not in ("enable", "disable", "disable-log-reason"):
        raise NotFound("Unknown action")
    reason = asked.get("disabled_reason") if action == "disable-log-reason" else None
    if action == "disable-log-reason" and not reason:
        raise BadRequest("Missing required element 'disabled_reason' in request body.")
    enabled = action == "enable"
    binary = asked.get("binary") or asked.get("service") or BINARY
    async with call.transaction() as tx:
        known = await provider_enable(tx, "volume", asked["host"].partition("@")[0], enabled, reason)
        if binary != BINARY or not known:
            raise NotFound(f"Service {binary} could not be found on host {asked['host']}.")
    answer = {
        "host": asked["host"],
        "service": BINARY,
        "binary": BINARY,
        "disabled": not enabled,
        "status": "enabled" if enabled else "disabled",
    }
    if action != "disable":
        answer["disabled_reason"] = reason
    return Reply(answer)


async def list_pools(call: Call) -> Reply:
    """GET /scheduler-stats/get_pools, with `detail=true` what is in them, in GiB."""
    detail = boolean(call.query.get("detail", "false"), "detail")
    usage = await usage_by_host(call.store, "volume") if detail else {}
    pools = []
    for row in await pool_list(call.store):
        pool: dict[str, Any] = {"name": f"{row['host']}@{BACKEND}#{POOL}"}
        if detail:
            _, claimed = usage.get(row["host"], {}).get("DISK_GB", (0, 0))
            pool["capabilities"] = {
                "vendor_name": "Skybus",
                "volume_backend_name": BACKEND,
                "storage_protocol": "iSCSI",
                "total_capacity_gb": row["capacity_gib"],
                "free_capacity_gb": row["free_gib"],
                "allocated_capacity_gb": claimed,
                "provisioned_capacity_gb": claimed,
                "reserved_percentage": 0,
                "thin_provisioning_support": False,
                "multiattach": False,
                "timestamp": micros(row["heard_at"]),
            }
        pools.append(pool)
    return Reply({"pools": pools})


async def list_zones(call: Call) -> Reply:
    """GET /os-availability-zone."""
    zones = await zone_names(call.store)
    shown = [{"zoneName": name, "zoneState": {"available": up}} for name, up in sorted(zones.items())]
    return Reply({"availabilityZoneInfo": shown})


def _get(path: str, handler: Any, rule: str) -> Route:
    return Route(method="GET", path=path, handler=handler, policy=rule, body=NO_BODY)


ROUTES: list[Route] = both(
    _get("/os-services", list_services, "volume_extension:services:index"),
    Route(
        method="PUT",
        path="/os-services/{action}",
        handler=switch_service,
        policy="volume_extension:services:update",
        body="volume/service-update",
    ),
    _get("/scheduler-stats/get_pools", list_pools, "scheduler_extension:scheduler_stats:get_pools"),
    _get("/os-availability-zone", list_zones, "volume:availability_zone_list"),
)

"""Routes of what is small or empty here: availability zones, aggregates, extensions, server groups."""

from __future__ import annotations

from typing import Any

from skybus.compute import hosts
from skybus.errors import NotFound
from skybus.http import times
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.http.versions import Version

API = "os_compute_api:"
COMPUTE = "nova-compute"

EXTENSIONS = (
    ("os-availability-zone", "AvailabilityZone", "Which zones servers may be put into."),
    ("os-config-drive", "ConfigDrive", "A disk that tells a server about itself."),
    ("os-console-output", "ConsoleOutput", "The end of a server's serial console."),
    ("os-extended-server-attributes", "ExtendedServerAttributes", "Where a server runs, for administrators."),
    ("os-flavor-access", "FlavorAccess", "Which projects may use a flavor."),
    ("os-flavor-extra-specs", "FlavorExtraSpecs", "What a flavor asks of a host."),
    ("os-hypervisors", "Hypervisors", "The hosts that servers run on."),
    ("os-instance-actions", "InstanceActions", "What was done to a server."),
    ("os-keypairs", "Keypairs", "Public keys that servers let in."),
    ("os-lock-server", "LockServer", "Guarding a server against changes."),
    ("os-quota-sets", "Quotas", "What a project may own."),
    ("os-services", "Services", "The services on the hosts."),
    ("os-simple-tenant-usage", "SimpleTenantUsage", "What a project used."),
    ("os-used-limits", "UsedLimits", "What a project owns."),
    ("os-volumes", "Volumes", "Volumes as disks of servers."),
)


def _zones(rows: list[Any]) -> dict[str, list[Any]]:
    zones: dict[str, list[Any]] = {}
    for row in rows:
        zones.setdefault(row["zone"], []).append(row)
    return dict(sorted(zones.items()))


def _available(rows: list[Any]) -> bool:
    return any(not row["disabled"] for row in rows)


async def list_zones(call: Call) -> Reply:
    """The zones, and whether one may put servers there."""
    zones = _zones(await hosts.host_list(call.store))
    views = [
        {"zoneName": zone, "zoneState": {"available": _available(rows)}, "hosts": None} for zone, rows in zones.items()
    ]
    return Reply({"availabilityZoneInfo": views})


async def list_zones_in_detail(call: Call) -> Reply:
    """The zones with their hosts."""
    views = []
    for zone, rows in _zones(await hosts.host_list(call.store)).items():
        available = _available(rows)
        named = {row["name"]: {COMPUTE: _service(row)} for row in rows if not row["disabled"]}
        views.append({"zoneName": zone, "zoneState": {"available": available}, "hosts": named if available else None})
    return Reply({"availabilityZoneInfo": views})


def _service(row: Any) -> dict[str, Any]:
    return {"available": row["up"], "active": not row["disabled"], "updated_at": times.micros(row["heard_at"])}


async def list_aggregates(call: Call) -> Reply:
    """None: hosts are not grouped here yet."""
    return Reply({"aggregates": []})


async def list_server_groups(call: Call) -> Reply:
    """None: there are no server groups here yet."""
    return Reply({"server_groups": []})


def _extension(alias: str, name: str, description: str) -> dict[str, Any]:
    return {
        "alias": alias,
        "description": description,
        "links": [],
        "name": name,
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "updated": "2014-12-03T00:00:00Z",
    }


async def list_extensions(call: Call) -> Reply:
    """What this API has; the list is for clients from the time before microversions."""
    return Reply({"extensions": [_extension(*one) for one in EXTENSIONS]})


async def show_extension(call: Call) -> Reply:
    """One extension."""
    for one in EXTENSIONS:
        if one[0] == call.args["alias"]:
            return Reply({"extension": _extension(*one)})
    raise NotFound(f"The extension {call.args['alias'][:64]} could not be found.")


def _route(path: str, handler: Any, rule: str, since: Version = (2, 1)) -> Route:
    return Route(method="GET", path=f"/{path}", handler=handler, policy=API + rule, body=NO_BODY, since=since)


ROUTES: list[Route] = [
    _route("os-availability-zone", list_zones, "os-availability-zone:list"),
    _route("os-availability-zone/detail", list_zones_in_detail, "os-availability-zone:detail"),
    _route("os-aggregates", list_aggregates, "os-aggregates:index"),
    _route("os-server-groups", list_server_groups, "os-server-groups:index"),
    _route("extensions", list_extensions, "extensions"),
    _route("extensions/{alias}", show_extension, "extensions"),
]

"""Routes that say what this volume service is: versions and extensions."""

from __future__ import annotations

from typing import Any

from skybus.errors import NotFound
from skybus.http import versions
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, PUBLIC, Route
from skybus.http.versions import VersionRange
from skybus.volume.forms import both

VERSIONS = VersionRange(service="volume", lowest=(3, 0), highest=(3, 71))
UPDATED = "2023-08-31T00:00:00Z"
EXTENSIONS = {
    "os-availability-zone": ("AvailabilityZones", "Lists the zones that volumes may be in."),
    "os-quota-sets": ("Quotas", "Shows and changes what projects may own."),
    "os-services": ("Services", "Lists storage services and takes them out of use."),
    "os-types-extra-specs": ("TypesExtraSpecs", "Keeps extra specs of volume types."),
    "os-types-manage": ("TypesManage", "Creates and deletes volume types."),
    "os-used-limits": ("UsedLimits", "Shows how much of its limits a project uses."),
    "os-vol-host-attr": ("VolumeHostAttribute", "Shows administrators the host of a volume."),
    "os-vol-tenant-attr": ("VolumeTenantAttribute", "Shows the project of a volume."),
    "os-volume-type-access": ("VolumeTypeAccess", "Keeps who may use private volume types."),
    "scheduler-stats": ("Scheduler_stats", "Shows the storage pools."),
}


def _version(call: Call) -> dict[str, Any]:
    return {
        "id": "v3.0",
        "status": "CURRENT",
        "version": versions.shown(VERSIONS.highest),
        "min_version": versions.shown(VERSIONS.lowest),
        "updated": UPDATED,
        "links": [{"rel": "self", "href": f"{call.base}/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}],
    }


async def choose_version(call: Call) -> Reply:
    """GET /volume: the versions, as a choice."""
    return Reply({"versions": [_version(call)]}, 300)


async def show_version(call: Call) -> Reply:
    """GET /volume/v3."""
    return Reply({"versions": [_version(call)]})


def _extension(alias: str) -> dict[str, Any]:
    name, description = EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": description, "updated": UPDATED, "links": []}


async def list_extensions(call: Call) -> Reply:
    """GET /extensions."""
    return Reply({"extensions": [_extension(alias) for alias in EXTENSIONS]})


async def show_extension(call: Call) -> Reply:
    """GET /extensions/{alias}."""
    if call.args["alias"] not in EXTENSIONS:
        raise NotFound("The resource could not be found.")
    return Reply({"extension": _extension(call.args["alias"])})


ROUTES: list[Route] = [
    Route(method="GET", path="", handler=choose_version, policy=PUBLIC, body=NO_BODY),
    Route(method="GET", path="/v3", handler=show_version, policy=PUBLIC, body=NO_BODY),
    *both(
        Route(method="GET", path="/extensions", handler=list_extensions, policy="volume:list_extensions", body=NO_BODY),
        Route(
            method="GET",
            path="/extensions/{alias}",
            handler=show_extension,
            policy="volume:list_extensions",
            body=NO_BODY,
        ),
    ),
]

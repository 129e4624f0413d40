"""The versions documents, which need no token."""

from __future__ import annotations

from typing import Any

from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, PUBLIC, Route
from skybus.http.versions import VersionRange, shown

VERSIONS = VersionRange(service="compute", lowest=(2, 1), highest=(2, 96), legacy_header="X-OpenStack-Nova-API-Version")
LEGACY = VersionRange(service="compute", lowest=(2, 1), highest=(2, 1), fixed=True)
"""v2.0 is v2.1 as it began, for clients older than microversions."""
PREFIX, LEGACY_PREFIX = "/compute/v2.1", "/compute/v2"
UPDATED = "2013-07-23T11:33:21Z"
"""When v2.1 came to be; Nova shows the same."""


LEGACY_UPDATED = "2011-01-21T11:33:21Z"


def _legacy_version(call: Call) -> dict[str, Any]:
    return {
        "id": "v2.0",
        "status": "SUPPORTED",
        "version": "",
        "min_version": "",
        "updated": LEGACY_UPDATED,
        "links": [{"rel": "self", "href": f"{call.public_url}{LEGACY_PREFIX}/"}],
    }


def _version(call: Call) -> dict[str, Any]:
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": shown(VERSIONS.highest),
        "min_version": shown(VERSIONS.lowest),
        "updated": UPDATED,
        "links": [{"rel": "self", "href": f"{call.public_url}{PREFIX}/"}],
    }


async def list_versions(call: Call) -> Reply:
    """Both versions, the older one first."""
    return Reply({"versions": [_legacy_version(call), _version(call)]})


async def show_version(call: Call) -> Reply:
    """v2.1, with the type of its bodies."""
    return _in_detail(_version(call), "2.1")


async def show_legacy_version(call: Call) -> Reply:
    """v2.0, with the type of its bodies."""
    return _in_detail(_legacy_version(call), "2")


def _in_detail(version: dict[str, Any], media: str) -> Reply:
    version["links"].append(
        {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/api-ref/compute/"}
    )
    kind = f"application/vnd.openstack.compute+json;version={media}"
    version["media-types"] = [{"base": "application/json", "type": kind}]
    return Reply({"version": version})


DISCOVERY_ROUTES: list[Route] = [Route(method="GET", path="", handler=list_versions, policy=PUBLIC, body=NO_BODY)]
ROUTES: list[Route] = [Route(method="GET", path="", handler=show_version, policy=PUBLIC, body=NO_BODY)]
LEGACY_ROUTES: list[Route] = [Route(method="GET", path="", handler=show_legacy_version, policy=PUBLIC, body=NO_BODY)]

"""The versions documents, which need no token."""

from __future__ import annotations

from typing import Any

from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, PUBLIC, Route
from skybus.http.versions import VersionRange, shown

VERSIONS = VersionRange(service="compute", lowest=(2, 1), highest=(2, 96), legacy_header="X-OpenStack-Nova-API-Version")
PREFIX = "/compute/v2.1"
UPDATED = "2013-07-23T11:33:21Z"
"""When v2.1 came to be; Nova shows the same."""


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
    """The one version there is."""
    return Reply({"versions": [_version(call)]})


async def show_version(call: Call) -> Reply:
    """That version, with the type of its bodies."""
    version = _version(call)
    version["links"].append(
        {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/api-ref/compute/"}
    )
    version["media-types"] = [
        {"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}
    ]
    return Reply({"version": version})


DISCOVERY_ROUTES: list[Route] = [Route(method="GET", path="", handler=list_versions, policy=PUBLIC, body=NO_BODY)]
ROUTES: list[Route] = [Route(method="GET", path="", handler=show_version, policy=PUBLIC, body=NO_BODY)]

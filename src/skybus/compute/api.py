"""The compute API, put together."""

from __future__ import annotations

from skybus.compute import (
    flavors_api,
    hypervisors_api,
    instance_actions_api,
    keypairs_api,
    quotas_api,
    server_actions_api,
    server_metadata_api,
    server_wires_api,
    servers_api,
    services_api,
    volume_attachments_api,
    zones_api,
)
from skybus.compute import versions_api as versions
from skybus.http import bodies
from skybus.http.routes import Api, Route
from skybus.metering.usage_api import USAGE_ROUTES

_FAMILIES = (
    servers_api,
    server_actions_api,
    server_metadata_api,
    server_wires_api,
    volume_attachments_api,
    instance_actions_api,
    flavors_api,
    keypairs_api,
    quotas_api,
    hypervisors_api,
    services_api,
    zones_api,
)


REQUEST_ID_HEADERS = ("X-Openstack-Request-Id", "X-Compute-Request-Id")


def apis() -> list[Api]:
    """All that this package serves."""
    return [versions_api(), api(), legacy_api()]


def versions_api() -> Api:
    """The list of versions at /compute, which speaks no microversion."""
    return Api(
        name="compute-versions",
        prefix="/compute",
        routes=versions.DISCOVERY_ROUTES,
        error_body=bodies.compute,
        request_id_headers=REQUEST_ID_HEADERS,
    )


def _routes() -> list[Route]:
    return [route for family in _FAMILIES for route in family.ROUTES] + USAGE_ROUTES


def api() -> Api:
    """Nova's API at /compute/v2.1."""
    return Api(
        name="compute",
        prefix=versions.PREFIX,
        routes=[*versions.ROUTES, *_routes()],
        error_body=bodies.compute,
        lists_end_plainly=True,
        versions=versions.VERSIONS,
        request_id_headers=REQUEST_ID_HEADERS,
    )


def legacy_api() -> Api:
    """The same without microversions at /compute/v2."""
    return Api(
        name="compute-legacy",
        prefix=versions.LEGACY_PREFIX,
        routes=[*versions.LEGACY_ROUTES, *_routes()],
        error_body=bodies.compute,
        lists_end_plainly=True,
        versions=versions.LEGACY,
        request_id_headers=REQUEST_ID_HEADERS,
    )

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
    versions_api,
    volume_attachments_api,
    zones_api,
)
from skybus.http import bodies
from skybus.http.routes import Api, Route

_FAMILIES = (
    versions_api,
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


def apis() -> list[Api]:
    """All that this package serves; the versions documents stand among its routes."""
    return [api()]


def api() -> Api:
    """Nova's API at /compute."""
    routes: list[Route] = [route for family in _FAMILIES for route in family.ROUTES]
    return Api(
        name="compute",
        prefix="/compute",
        routes=routes,
        error_body=bodies.compute,
        versions=versions_api.VERSIONS,
        request_id_headers=("X-Openstack-Request-Id", "X-Compute-Request-Id"),
    )

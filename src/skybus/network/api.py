"""The network API as the gateway serves it: `/network/v2.0`, and the list of its versions at `/network`."""

from __future__ import annotations

from skybus.http.routes import Api
from skybus.network import agents_api, discovery_api, groups_api, networks_api, ports_api, quotas_api, subnets_api
from skybus.network.errors import error_body
from skybus.network.policies import RULES

__all__ = ["RULES", "api", "versions_api"]


def api() -> Api:
    """Version 2.0; it has no microversions."""
    return Api(
        name="network",
        prefix="/network/v2.0",
        routes=[
            *discovery_api.ROUTES,
            *networks_api.ROUTES,
            *subnets_api.ROUTES,
            *ports_api.ROUTES,
            *groups_api.ROUTES,
            *quotas_api.ROUTES,
            *agents_api.ROUTES,
        ],
        error_body=error_body,
    )


def versions_api() -> Api:
    """What stands above the version: the list of versions."""
    return Api(name="network-versions", prefix="/network", routes=discovery_api.VERSIONS_ROUTES, error_body=error_body)

"""Everything below `/v3/OS-FEDERATION`: who may say who somebody is, and coming in by it."""

from __future__ import annotations

from skybus.http.routes import NO_BODY, Route
from skybus.identity import (
    auth_api,
    identity_providers_api,
    mappings_api,
    protocols_api,
    service_providers_api,
)

ROUTES = [
    *identity_providers_api.ROUTES,
    *protocols_api.ROUTES,
    *mappings_api.ROUTES,
    *service_providers_api.ROUTES,
    Route(
        method="GET",
        path="/v3/OS-FEDERATION/projects",
        handler=auth_api.list_projects,
        policy="identity:get_auth_projects",
        body=NO_BODY,
    ),
    Route(
        method="GET",
        path="/v3/OS-FEDERATION/domains",
        handler=auth_api.list_domains,
        policy="identity:get_auth_domains",
        body=NO_BODY,
    ),
]

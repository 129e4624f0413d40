"""The Identity API v3, put together."""

from __future__ import annotations

from typing import Any

from skybus.http import bodies
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, PUBLIC, Api, Route
from skybus.identity import (
    access_rules_api,
    application_credentials_api,
    assignments_api,
    audit_events_api,
    auth_api,
    catalog_api,
    credentials_api,
    domains_api,
    ec2_credentials_api,
    ec2_tokens_api,
    endpoint_groups_api,
    federation_api,
    grants_api,
    groups_api,
    limits_api,
    oauth1_api,
    oauth1_users_api,
    policies_api,
    projects_api,
    registered_limits_api,
    roles_api,
    trusts_api,
    users_api,
)
from skybus.identity.audit_journal import witness

PREFIX = "/identity"
UPDATED = "2022-11-15T00:00:00Z"


def _version(call: Call) -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": UPDATED,
        "links": [{"rel": "self", "href": f"{call.base}/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


async def list_versions(call: Call) -> Reply:
    """`GET /identity`: which versions there are, with the status 300 as Keystone has it."""
    return Reply({"versions": {"values": [_version(call)]}}, 300, {"Vary": "X-Auth-Token"})


async def show_version(call: Call) -> Reply:
    """`GET /identity/v3`."""
    return Reply({"version": _version(call)}, 200, {"Vary": "X-Auth-Token"})


def api() -> Api:
    """Identity. Its handlers need the services of `Identity.services()` and the store."""
    routes = [
        Route(method="GET", path="", handler=list_versions, policy=PUBLIC, body=NO_BODY),
        Route(method="GET", path="/v3", handler=show_version, policy=PUBLIC, body=NO_BODY),
        *auth_api.ROUTES,
        *users_api.ROUTES,
        *application_credentials_api.ROUTES,
        *credentials_api.ROUTES,
        *ec2_credentials_api.ROUTES,
        *ec2_tokens_api.ROUTES,
        *access_rules_api.ROUTES,
        *trusts_api.ROUTES,
        *oauth1_api.ROUTES,
        *oauth1_users_api.ROUTES,
        *groups_api.ROUTES,
        *projects_api.ROUTES,
        *domains_api.ROUTES,
        *roles_api.ROUTES,
        *grants_api.ROUTES,
        *assignments_api.ROUTES,
        *federation_api.ROUTES,
        *catalog_api.ROUTES,
        *endpoint_groups_api.ROUTES,
        *policies_api.ROUTES,
        *registered_limits_api.ROUTES,
        *limits_api.ROUTES,
        *audit_events_api.ROUTES,
    ]
    routes = [ec2_tokens_api.without_signed(route) for route in routes]
    return Api(name="identity", prefix=PREFIX, routes=routes, error_body=bodies.identity, witness=witness)

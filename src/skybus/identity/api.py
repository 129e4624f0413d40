"""The Identity API v3, put together."""

from __future__ import annotations

from skybus.http import bodies
from skybus.http.routes import Api
from skybus.identity import (
    access_rules_api,
    application_credentials_api,
    assignments_api,
    audit_events_api,
    auth_api,
    catalog_api,
    credentials_api,
    domain_config_api,
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
    revoke_events_api,
    roles_api,
    trusts_api,
    users_api,
    versions_api,
)
from skybus.identity.audit_journal import witness

PREFIX = "/identity"


def api() -> Api:
    """Identity. Its handlers need the services of `Identity.services()` and the store."""
    routes = [
        *versions_api.ROUTES,
        *auth_api.ROUTES,
        *users_api.ROUTES,
        *application_credentials_api.ROUTES,
        *access_rules_api.ROUTES,
        *credentials_api.ROUTES,
        *ec2_credentials_api.ROUTES,
        *ec2_tokens_api.ROUTES,
        *trusts_api.ROUTES,
        *oauth1_api.ROUTES,
        *oauth1_users_api.ROUTES,
        *groups_api.ROUTES,
        *projects_api.ROUTES,
        *domains_api.ROUTES,
        *domain_config_api.ROUTES,
        *roles_api.ROUTES,
        *grants_api.ROUTES,
        *federation_api.ROUTES,
        *assignments_api.ROUTES,
        *catalog_api.ROUTES,
        *endpoint_groups_api.ROUTES,
        *policies_api.ROUTES,
        *registered_limits_api.ROUTES,
        *limits_api.ROUTES,
        *audit_events_api.ROUTES,
        *revoke_events_api.ROUTES,
    ]
    routes = [ec2_tokens_api.without_signed(route) for route in routes]
    return Api(name="identity", prefix=PREFIX, routes=routes, error_body=bodies.identity, witness=witness)

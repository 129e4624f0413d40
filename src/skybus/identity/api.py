"""The Identity API v3, put together."""

from __future__ import annotations

from skybus.http import bodies
from skybus.http.routes import Api
from skybus.identity import versions_api
from skybus.identity.audit import audit_events_api
from skybus.identity.audit.audit_journal import witness
from skybus.identity.auth import auth_api, revoke_events_api
from skybus.identity.catalog import catalog_api, endpoint_groups_api, policies_api
from skybus.identity.credentials import credentials_api, ec2_credentials_api, ec2_tokens_api
from skybus.identity.delegation import (
    access_rules_api,
    application_credentials_api,
    oauth1_api,
    oauth1_users_api,
    trusts_api,
)
from skybus.identity.federation import federation_api
from skybus.identity.ldap import domain_config_api
from skybus.identity.limits import limits_api, registered_limits_api
from skybus.identity.people import groups_api, users_api
from skybus.identity.projects import domains_api, projects_api
from skybus.identity.roles import assignments_api, grants_api, roles_api

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

"""Everything below `/v3/OS-FEDERATION`: who may say who somebody is, and coming in by it."""

from __future__ import annotations

from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, PUBLIC, Route
from skybus.identity.auth import auth_api
from skybus.identity.auth.scopes import scope_for
from skybus.identity.auth.token_views import token_body
from skybus.identity.federation import identity_providers_api, mappings_api, protocols_api, service_providers_api
from skybus.identity.login import by_openid
from skybus.identity.rows import path_id


async def authenticate(call: Call) -> Reply:
    """`GET` and `POST /OS-FEDERATION/identity_providers/{idp_id}/protocols/{protocol_id}/auth`: a token of the provider
    for one of ours. A user of the provider's gets one without scope."""
    provider_id = path_id(call, "idp_id", "Identity Provider")
    protocol_id = path_id(call, "protocol_id", "federated protocol")
    proven = await by_openid.prove(call, provider_id, protocol_id)
    scope = await scope_for(call.store, proven, "unscoped" if proven.federation is not None else None)
    identity = call.service("identity")
    token, claims = identity.tokens.issue(
        user_id=proven.user["id"],
        user_domain_id=proven.user["domain_id"],
        methods=proven.methods,
        revision=proven.revision,
        project_id=scope.project["id"] if scope.project is not None else None,
        project_domain_id=scope.project["domain_id"] if scope.project is not None else None,
        roles=scope.roles,
        federation=proven.federation,
    )
    data = await token_body(identity.directory, claims, brief="nocatalog" in call.query)
    return Reply(data, 201, {"X-Subject-Token": token, "Vary": "X-Auth-Token"})


def _auth(method: str) -> Route:
    path = protocols_api.PATH + "/{protocol_id}/auth"
    return Route(method=method, path=path, handler=authenticate, policy=PUBLIC, body=NO_BODY)


ROUTES = [
    *identity_providers_api.ROUTES,
    *protocols_api.ROUTES,
    *mappings_api.ROUTES,
    *service_providers_api.ROUTES,
    _auth("GET"),
    _auth("POST"),
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

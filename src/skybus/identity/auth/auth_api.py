"""Tokens and what a token's owner may learn of its own reach: the routes below `/v3/auth`."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest, Forbidden, NotFound
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, PUBLIC, Route
from skybus.identity.auth.claims import Claims
from skybus.identity.auth.scopes import earliest, scope_for
from skybus.identity.auth.token_views import identity_view, token_body
from skybus.identity.catalog.catalog import catalog_view
from skybus.identity.delegation.oauth1_signatures import request_shown
from skybus.identity.delegation.trusts import trust_use
from skybus.identity.directory import Directory
from skybus.identity.login.login import MoreNeeded
from skybus.identity.projects.projects import domain_view, project_view
from skybus.identity.roles.assignments import domains_of, effective_roles, projects_of
from skybus.identity.rows import body_of, change, flag, whole

KNOWS_RULES = "OpenStack-Identity-Access-Rules"
"""The header by which a service says that it enforces access rules."""


async def issue_token(call: Call) -> Reply:
    """`POST /auth/tokens`."""
    asked = body_of(call, "auth")
    identity = call.service("identity")
    try:
        proven = await identity.login.prove(_shown(call, asked), call.headers.get("Openstack-Auth-Receipt"))
    except MoreNeeded as more:
        return await _receipt(identity.directory, more)
    scope = await scope_for(identity.login.memory.reads, proven, asked.get("scope"))
    speaker = scope.speaker or proven.user
    delegation = scope.delegation or proven.delegation
    if scope.counted and delegation is not None:
        async with change(call) as tx:
            await trust_use(tx, delegation.key.id)
    token, claims = identity.tokens.issue(
        user_id=speaker["id"],
        user_domain_id=speaker["domain_id"],
        methods=proven.methods,
        revision=proven.revision,
        project_id=scope.project["id"] if scope.project is not None else None,
        project_domain_id=scope.project["domain_id"] if scope.project is not None else None,
        domain_id=scope.domain["id"] if scope.domain is not None else None,
        system=scope.system,
        roles=scope.roles,
        parent=proven.parent,
        expires_at=earliest(proven.expires_at, delegation.expires_at if delegation is not None else None),
        delegation=delegation.key if delegation is not None else None,
        federation=proven.federation if scope.speaker is None else None,
    )
    brief = "nocatalog" in call.query
    data = await token_body(identity.directory, claims, brief=brief)
    return Reply(data, 201, {"X-Subject-Token": token, "Vary": "X-Auth-Token"})


def _shown(call: Call, asked: dict[str, Any]) -> dict[str, Any]:
    """What is shown: with OAuth it is the signed request itself."""
    shown: dict[str, Any] = asked["identity"]
    return {**shown, "oauth1": request_shown(call)} if "oauth1" in shown["methods"] else shown


async def _receipt(directory: Directory, more: MoreNeeded) -> Reply:
    """401, with a receipt for what was shown and the methods that go on from there."""
    identity = await identity_view(directory, more.claims)
    receipt = {name: identity[name] for name in ("methods", "user", "expires_at", "issued_at")}
    del receipt["user"]["password_expires_at"]
    body = {"receipt": receipt, "required_auth_methods": more.wanted}
    return Reply(body, 401, {"Openstack-Auth-Receipt": more.receipt, "Vary": "X-Auth-Token"})


def _subject(call: Call, expired_seconds: int = 0) -> tuple[str, Claims]:
    token = call.headers.get("X-Subject-Token", "")
    if not token:
        raise BadRequest("Expecting to find the header X-Subject-Token.")
    return token, call.service("tokens").subject(token, expired_seconds)


async def show_token(call: Call) -> Reply:
    """`GET /auth/tokens` validates; `HEAD /auth/tokens` answers no body. With `allow_expired`, a service that took a
    request in time may finish it on behalf of a token that has ended meanwhile."""
    late = flag(call.query.get("allow_expired", "0"))
    token, claims = _subject(call, call.service("identity").settings.allow_expired_window if late else 0)
    rule = "identity:validate_token" if call.request.method == "GET" else "identity:check_token"
    call.require(rule, **{"target.token.user_id": claims.user_id})
    if claims.delegation is not None and claims.delegation.ruled and KNOWS_RULES not in call.headers:
        # A service that cannot hold requests against access rules would let the token do everything.
        raise NotFound("Could not find token.")
    brief = "nocatalog" in call.query
    directory = call.service("directory")
    data = await directory.body(token, brief, lambda: token_body(directory, claims, brief=brief))
    return Reply(data, 200, {"X-Subject-Token": token, "Vary": "X-Auth-Token"})


async def revoke_token(call: Call) -> Reply:
    """`DELETE /auth/tokens`."""
    _, claims = _subject(call)
    call.require("identity:revoke_token", **{"target.token.user_id": claims.user_id})
    async with change(call) as tx:
        await call.service("tokens").revoke(tx, claims)
    return Reply(None, 204)


async def show_catalog(call: Call) -> Reply:
    """`GET /auth/catalog`."""
    caller = call.caller
    if caller.project_id is None and caller.domain_id is None and not caller.system:
        raise Forbidden("A scoped token is required to produce a service catalog.")
    catalog = await call.service("directory").catalog()
    return whole(call, "catalog", catalog_view(catalog, user_id=caller.user_id, project_id=caller.project_id))


async def list_projects(call: Call) -> Reply:
    """`GET /auth/projects`: where the caller may scope a token to."""
    rows = await projects_of(call.store, call.caller.user_id)
    return whole(call, "projects", [project_view(row, call.base + "/v3") for row in rows])


async def list_domains(call: Call) -> Reply:
    """`GET /auth/domains`."""
    rows = await domains_of(call.store, call.caller.user_id)
    return whole(call, "domains", [domain_view(row, call.base + "/v3") for row in rows])


async def list_system(call: Call) -> Reply:
    """`GET /auth/system`."""
    system: list[dict[str, Any]] = []
    if await effective_roles(call.store, call.caller.user_id, None):
        system = [{"all": True}]
    return whole(call, "system", system)


def _get(path: str, handler: Any, rule: str) -> Route:
    return Route(method="GET", path=path, handler=handler, policy=rule, body=NO_BODY)


ROUTES = [
    Route(method="POST", path="/v3/auth/tokens", handler=issue_token, policy=PUBLIC, body="identity/auth-create"),
    _get("/v3/auth/tokens", show_token, "identity:any_caller"),
    Route(method="DELETE", path="/v3/auth/tokens", handler=revoke_token, policy="identity:any_caller", body=NO_BODY),
    _get("/v3/auth/catalog", show_catalog, "identity:get_auth_catalog"),
    _get("/v3/auth/projects", list_projects, "identity:get_auth_projects"),
    _get("/v3/auth/domains", list_domains, "identity:get_auth_domains"),
    _get("/v3/auth/system", list_system, "identity:get_auth_system"),
]

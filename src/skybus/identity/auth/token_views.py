"""The token as the API shows it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from skybus.http.times import micros, micros_z
from skybus.identity.auth.claims import Claims
from skybus.identity.delegation.delegations import Kind
from skybus.identity.delegation.oauth1_access_tokens import access_token_find
from skybus.identity.delegation.trusts import trust_find
from skybus.identity.directory import Directory
from skybus.identity.federation.federation_views import federation_view
from skybus.identity.rows import missing

_encode = msgspec.json.Encoder().encode


async def token_body(directory: Directory, claims: Claims, *, brief: bool) -> bytes:
    """What `POST` and `GET /auth/tokens` answer; `brief` leaves the catalog out. Raises NotFound when its user or
    scope went in this moment."""
    token = await identity_view(directory, claims)
    token.update(await _scope(directory, claims, brief))
    if claims.delegation is not None:
        token.update(await _SHOWN[claims.delegation.kind](directory, claims.delegation.id))
    if claims.federation is not None:
        token["user"]["OS-FEDERATION"] = await federation_view(directory.store, claims)
        del token["user"]["password_expires_at"]
    providers = await directory.service_providers()
    if providers:
        token["service_providers"] = providers
    return _encode({"token": token})


async def identity_view(directory: Directory, claims: Claims) -> dict[str, Any]:
    """Who it is, how that was shown, and until when it holds. Raises NotFound for a user that went in this moment."""
    user = await directory.user(claims.user_id)
    domain = await directory.project(claims.user_domain_id)
    if user is None or domain is None:
        raise missing("user", claims.user_id)
    return {
        "methods": list(claims.methods),
        "user": {
            "domain": {"id": domain["id"], "name": domain["name"]},
            "id": user["id"],
            "name": user["name"],
            "password_expires_at": micros(user["password_expires_at"]),
        },
        "audit_ids": list(claims.audit_ids),
        "expires_at": micros_z(datetime.fromtimestamp(claims.expires_at, UTC)),
        "issued_at": micros_z(datetime.fromtimestamp(claims.issued_at, UTC)),
    }


async def _scope(directory: Directory, claims: Claims, brief: bool) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    if claims.project_id is not None:
        project = await directory.project(claims.project_id)
        if project is None:
            raise missing("project", claims.project_id)
        scope["project"] = {
            "domain": await _domain(directory, project["domain_id"]),
            "id": project["id"],
            "name": project["name"],
        }
        scope["is_domain"] = False
    elif claims.domain_id is not None:
        scope["domain"] = await _domain(directory, claims.domain_id)
    elif claims.system:
        scope["system"] = {"all": True}
    else:
        return scope
    ids = await directory.roles()
    scope["roles"] = [{"id": ids[name], "name": name} for name in claims.roles if name in ids]
    if not brief:
        scope["catalog"] = await directory.catalog_json(claims.user_id, claims.project_id)
    return scope


async def _domain(directory: Directory, domain_id: str) -> dict[str, str]:
    domain = await directory.project(domain_id)
    if domain is None:
        raise missing("domain", domain_id)
    return {"id": domain["id"], "name": domain["name"]}


async def _credential(directory: Directory, credential_id: str) -> dict[str, Any]:
    row = await directory.application_credential(credential_id)
    if row is None:
        raise missing("application_credential", credential_id)
    shown = {"id": row["id"], "name": row["name"], "restricted": not row["unrestricted"]}
    if row["access_rules"]:
        shown["access_rules"] = row["access_rules"]
    return {"application_credential": shown}


async def _trust(directory: Directory, trust_id: str) -> dict[str, Any]:
    row = await trust_find(directory.store, trust_id)
    if row is None:
        raise missing("trust", trust_id)
    shown = {
        "id": row["id"],
        "trustor_user": {"id": row["trustor_user_id"]},
        "trustee_user": {"id": row["trustee_user_id"]},
        "impersonation": row["impersonation"],
    }
    return {"OS-TRUST:trust": shown}


async def _access_token(directory: Directory, token_id: str) -> dict[str, Any]:
    row = await access_token_find(directory.store, token_id)
    if row is None:
        raise missing("access_token", token_id)
    return {"OS-OAUTH1": {"access_token_id": row["id"], "consumer_id": row["consumer_id"]}}


_SHOWN: Mapping[Kind, Callable[[Directory, str], Awaitable[dict[str, Any]]]] = {
    "application_credential": _credential,
    "trust": _trust,
    "oauth1": _access_token,
}

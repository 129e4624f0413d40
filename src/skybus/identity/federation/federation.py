"""Coming in by an identity provider: from what it says of somebody to a user of ours."""

from __future__ import annotations

from typing import Any

import structlog

from skybus.errors import CloudError, NotFound, Unauthorized
from skybus.identity.auth.tokens import NO_ENTRY
from skybus.identity.federation.identity_providers import provider_get
from skybus.identity.federation.mapping_rules import LOCAL, Assertion, Mapped, apply_rules
from skybus.identity.federation.protocols import protocol_get
from skybus.identity.federation.shadow_users import shadow_enter
from skybus.identity.login.proof import Proven, live
from skybus.identity.people import users
from skybus.store import Tx

log = structlog.get_logger()

# Held to the end of the login's transaction: whoever changes the rules waits, and then revokes what was made by them.
HELD = """
SELECT i.id, i.domain_id, i.enabled, i.authorization_ttl, p.remote_id_attribute, m.rules, m.schema_version,
       ARRAY(SELECT remote_id FROM identity.remote_id WHERE identity_provider_id = i.id) AS remote_ids
  FROM identity.identity_provider i
  JOIN identity.protocol p ON p.identity_provider_id = i.id AND p.id = $2
  JOIN identity.mapping m ON m.id = p.mapping_id
 WHERE i.id = $1
   FOR SHARE OF i, p, m
"""
STANDS = """
SELECT EXISTS (
    SELECT 1 FROM identity.identity_provider i JOIN identity.protocol p ON p.identity_provider_id = i.id AND p.id = $2
     WHERE i.id = $1 AND i.enabled
)
"""
Row = Any


async def provider_open(db: Any, provider_id: str, protocol_id: str) -> Row:
    """The row of an enabled provider that has this protocol. Raises NotFound, or Unauthorized when it is disabled."""
    provider = await provider_get(db, provider_id)
    await protocol_get(db, provider_id, protocol_id)
    if not provider["enabled"]:
        raise Unauthorized(f"Identity Provider {provider_id} is disabled.")
    return provider


async def map_user(
    tx: Tx, provider_id: str, protocol_id: str, issuer: str, assertion: Assertion, seconds: int
) -> tuple[str, bool]:
    """(user id, whether the user is the provider's own and not one of ours) of whom `assertion` describes.

    Raises Unauthorized when nobody comes in by it, NotFound when there is no such way.
    """
    held = await tx.fetchrow(HELD, provider_id, protocol_id)
    if held is None:
        raise NotFound("Could not find a mapping for this identity provider and protocol.")
    _check_name(held, issuer, assertion)
    try:
        mapped = apply_rules(held["rules"], assertion, held["schema_version"])
        if mapped.user["type"] == LOCAL:
            return await _local(tx, mapped), False
        names = assertion.get("REMOTE_USER", ())
        return await shadow_enter(tx, held, protocol_id, mapped, names[0] if names else "", seconds), True
    except Unauthorized as error:
        log.info("federated_login_refused", provider=provider_id, protocol=protocol_id, reason=error.reason)
        raise


def _check_name(held: Row, issuer: str, assertion: Assertion) -> None:
    """Raises Unauthorized when somebody else than this provider speaks, or it is disabled."""
    attribute = held["remote_id_attribute"]
    said = assertion.get(attribute, ()) if attribute else (issuer,)
    if not held["enabled"] or issuer not in held["remote_ids"] or not set(said) & set(held["remote_ids"]):
        raise Unauthorized("Incoming identity provider identifier not included among the accepted identifiers.")


async def _local(tx: Tx, mapped: Mapped) -> str:
    """The id of a user whom the mapping says to be one of ours. Raises Unauthorized."""
    try:
        row = await users.user_asked(tx, mapped.user)
    except CloudError:
        row = None
    if row is None:
        raise Unauthorized(NO_ENTRY)
    return str(row["id"])


async def proven_by_provider(db: Any, user_id: str, provider_id: str, protocol_id: str, revision: int) -> Proven:
    """What a login by a provider proves, read after `revision`. Raises Unauthorized when it holds no more."""
    if not await db.fetchval(STANDS, provider_id, protocol_id):
        raise Unauthorized(NO_ENTRY)
    user = live(await db.fetchrow(users.LOGIN_BY_ID, user_id), password=False)
    return Proven(user=user, methods=(protocol_id,), revision=revision)

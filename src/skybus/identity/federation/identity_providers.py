"""Identity providers: who may say who somebody is, and by which names they call themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from skybus import clock
from skybus.errors import Conflict
from skybus.identity.auth.revocations import revoke
from skybus.identity.projects.projects import domain_hold, domain_insert
from skybus.identity.rows import missing
from skybus.ids import new_hex_id
from skybus.messages.identity_federation import FederationChanged
from skybus.store import Tx

LIST = """
SELECT i.id, i.domain_id, i.enabled, i.description, i.authorization_ttl,
       ARRAY(
           SELECT remote_id FROM identity.remote_id WHERE identity_provider_id = i.id ORDER BY remote_id
       ) AS remote_ids
  FROM identity.identity_provider i
"""
GET = f"{LIST} WHERE i.id = $1"
LOCK = f"{LIST} WHERE i.id = $1 FOR UPDATE OF i"
HOLD = f"{LIST} WHERE i.id = $1 FOR KEY SHARE OF i"
INSERT = """
INSERT INTO identity.identity_provider (id, domain_id, enabled, description, authorization_ttl, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
"""
UPDATE = """
UPDATE identity.identity_provider SET enabled = $2, description = $3, authorization_ttl = $4 WHERE id = $1
"""
DELETE = "DELETE FROM identity.identity_provider WHERE id = $1"
FORGET_NAMES = "DELETE FROM identity.remote_id WHERE identity_provider_id = $1"
NAME = "INSERT INTO identity.remote_id (remote_id, identity_provider_id) VALUES ($1, $2)"
USERS = "SELECT user_id FROM identity.federated_user WHERE identity_provider_id = $1 ORDER BY user_id LIMIT $2"
MANY_USERS = 1000
"""From so many users on, revoking the tokens of whole domains is less work than revoking each one's."""
# A mapping may put them into other domains than the provider's, and an administrator may have linked people there.
DOMAINS = """
SELECT DISTINCT u.domain_id FROM identity.federated_user f JOIN identity."user" u ON u.id = f.user_id
 WHERE f.identity_provider_id = $1
"""
Row = Any


async def provider_get(db: Any, provider_id: str) -> Row:
    """The identity provider. Raises NotFound."""
    row = await db.fetchrow(GET, provider_id)
    if row is None:
        raise missing("Identity Provider", provider_id)
    return row


async def provider_hold(tx: Tx, provider_id: str) -> Row:
    """The identity provider, which cannot be deleted before `tx` ends. Raises NotFound."""
    row = await tx.fetchrow(HOLD, provider_id)
    if row is None:
        raise missing("Identity Provider", provider_id)
    return row


async def provider_insert(tx: Tx, provider_id: str, asked: dict[str, Any]) -> Row:
    """Make an identity provider, and a domain for its users unless `asked` names one. Raises NotFound or Conflict."""
    domain_id = asked.get("domain_id")
    if domain_id is None:
        name = new_hex_id()
        description = f"Auto generated federated domain for Identity Provider: {provider_id}"
        domain_id = (await domain_insert(tx, {"name": name, "description": description}, name))["id"]
    else:
        await domain_hold(tx, domain_id)
    status = await tx.execute(
        INSERT,
        provider_id,
        domain_id,
        asked.get("enabled", False),
        asked.get("description"),
        asked.get("authorization_ttl"),
        clock.now(),
    )
    if status != "INSERT 0 1":
        raise Conflict(f"Conflict occurred attempting to store identity_provider - {provider_id} exists.")
    await _name(tx, provider_id, asked.get("remote_ids") or [])
    tx.publish(FederationChanged(kind="identity_provider", id=provider_id, change="created"), project_id="")
    return await provider_get(tx, provider_id)


async def provider_update(tx: Tx, provider_id: str, asked: dict[str, Any]) -> Row:
    """Change an identity provider. Disabling it, or taking a name away, revokes its users' tokens. Raises NotFound or
    Conflict."""
    old = await tx.fetchrow(LOCK, provider_id)
    if old is None:
        raise missing("Identity Provider", provider_id)
    enabled = asked.get("enabled", old["enabled"])
    ttl = asked.get("authorization_ttl", old["authorization_ttl"])
    await tx.execute(UPDATE, provider_id, enabled, asked.get("description", old["description"]), ttl)
    names = asked.get("remote_ids", old["remote_ids"]) or []
    if set(names) != set(old["remote_ids"]):
        await tx.execute(FORGET_NAMES, provider_id)
        await _name(tx, provider_id, names)
    tx.publish(FederationChanged(kind="identity_provider", id=provider_id, change="updated"), project_id="")
    if (old["enabled"] and not enabled) or set(old["remote_ids"]) - set(names):
        await users_revoke(tx, provider_id, old["domain_id"])
    return await provider_get(tx, provider_id)


async def provider_delete(tx: Tx, provider_id: str) -> None:
    """Delete an identity provider with its protocols; its users keep their roles and cannot log in. Raises NotFound."""
    old = await tx.fetchrow(LOCK, provider_id)
    if old is None:
        raise missing("Identity Provider", provider_id)
    matches = await _matches(tx, provider_id, old["domain_id"])
    await tx.execute(DELETE, provider_id)
    tx.publish(FederationChanged(kind="identity_provider", id=provider_id, change="deleted"), project_id="")
    await revoke(tx, *matches)


async def users_revoke(tx: Tx, provider_id: str, domain_id: str) -> None:
    """Revoke the tokens of all who ever came by this provider, whose domain is `domain_id`."""
    await revoke(tx, *await _matches(tx, provider_id, domain_id))


async def _matches(tx: Tx, provider_id: str, domain_id: str) -> list[dict[str, str]]:
    users = [row["user_id"] for row in await tx.fetch(USERS, provider_id, MANY_USERS)]
    if len(users) == MANY_USERS:
        domains = {domain_id, *(row["domain_id"] for row in await tx.fetch(DOMAINS, provider_id))}
        return [{"domain_id": one} for one in sorted(domains)]
    return [{"user_id": user_id} for user_id in users]


async def _name(tx: Tx, provider_id: str, remote_ids: Sequence[str]) -> None:
    try:
        await tx.executemany(NAME, [(one, provider_id) for one in remote_ids])
    except asyncpg.UniqueViolationError:
        raise Conflict("Duplicate remote ID: a remote ID belongs to one identity provider.") from None


def provider_view(row: Row, base: str) -> dict[str, Any]:
    """An identity provider as the API shows it."""
    path = f"{base}/OS-FEDERATION/identity_providers/{row['id']}"
    return {
        "id": row["id"],
        "domain_id": row["domain_id"],
        "enabled": row["enabled"],
        "description": row["description"],
        "authorization_ttl": row["authorization_ttl"],
        "remote_ids": row["remote_ids"],
        "links": {"self": path, "protocols": f"{path}/protocols"},
    }

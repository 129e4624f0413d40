"""Service providers: clouds that trust this one; the enabled ones are shown in every token."""

from __future__ import annotations

from typing import Any

from skybus import clock
from skybus.errors import Conflict
from skybus.identity.rows import missing
from skybus.messages.identity_federation import FederationChanged
from skybus.store import Tx

COLUMNS = "s.id, s.enabled, s.description, s.auth_url, s.sp_url, s.relay_state_prefix"
LIST = f"SELECT {COLUMNS} FROM identity.service_provider s"
GET = f"{LIST} WHERE s.id = $1"
LOCK = f"{LIST} WHERE s.id = $1 FOR UPDATE"
SHOWN_IN_TOKENS = "SELECT id, auth_url, sp_url FROM identity.service_provider WHERE enabled ORDER BY id LIMIT 100"
INSERT = f"""
INSERT INTO identity.service_provider AS s
       (id, enabled, description, auth_url, sp_url, relay_state_prefix, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING
RETURNING {COLUMNS}
"""
UPDATE = f"""
UPDATE identity.service_provider AS s
   SET enabled = $2, description = $3, auth_url = $4, sp_url = $5, relay_state_prefix = $6
 WHERE id = $1
RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM identity.service_provider WHERE id = $1"
RELAY_STATE_PREFIX = "ss:mem:"
"""Keystone's default."""
FIELDS = ("enabled", "description", "auth_url", "sp_url", "relay_state_prefix")
Row = Any


async def service_provider_get(db: Any, provider_id: str) -> Row:
    """The service provider. Raises NotFound."""
    row = await db.fetchrow(GET, provider_id)
    if row is None:
        raise missing("Service Provider", provider_id)
    return row


async def service_providers_enabled(db: Any) -> list[dict[str, str]]:
    """The service providers that tokens show; never more than 100."""
    return [dict(row) for row in await db.fetch(SHOWN_IN_TOKENS)]


async def service_provider_insert(tx: Tx, provider_id: str, asked: dict[str, Any]) -> Row:
    """Add a service provider. Raises Conflict."""
    asked = {"enabled": False, "relay_state_prefix": RELAY_STATE_PREFIX, **asked}
    row = await tx.fetchrow(INSERT, provider_id, *(asked.get(name) for name in FIELDS), clock.now())
    if row is None:
        raise Conflict(f"Conflict occurred attempting to store service_provider - {provider_id} exists.")
    tx.publish(FederationChanged(kind="service_provider", id=provider_id, change="created"), project_id="")
    return row


async def service_provider_update(tx: Tx, provider_id: str, asked: dict[str, Any]) -> Row:
    """Change a service provider. Raises NotFound."""
    old = await tx.fetchrow(LOCK, provider_id)
    if old is None:
        raise missing("Service Provider", provider_id)
    row = await tx.fetchrow(UPDATE, provider_id, *(asked.get(name, old[name]) for name in FIELDS))
    tx.publish(FederationChanged(kind="service_provider", id=provider_id, change="updated"), project_id="")
    return row


async def service_provider_delete(tx: Tx, provider_id: str) -> None:
    """Delete a service provider. Raises NotFound."""
    if await tx.execute(DELETE, provider_id) != "DELETE 1":
        raise missing("Service Provider", provider_id)
    tx.publish(FederationChanged(kind="service_provider", id=provider_id, change="deleted"), project_id="")


def service_provider_view(row: Row, base: str) -> dict[str, Any]:
    """A service provider as the API shows it."""
    shown = {name: row[name] for name in ("id", *FIELDS)}
    return {**shown, "links": {"self": f"{base}/OS-FEDERATION/service_providers/{row['id']}"}}

"""Protocols: the ways to come from an identity provider, each with its mapping."""

from __future__ import annotations

from typing import Any

from skybus import clock
from skybus.errors import BadRequest, Conflict
from skybus.identity.federation.identity_providers import provider_hold, users_revoke
from skybus.identity.federation.mappings import mapping_find
from skybus.identity.rows import missing
from skybus.messages.identity_federation import FederationChanged
from skybus.store import Tx

COLUMNS = "p.id, p.identity_provider_id, p.mapping_id, p.remote_id_attribute"
LIST = f"SELECT {COLUMNS} FROM identity.protocol p WHERE p.identity_provider_id = $1 ORDER BY p.id"
GET = f"SELECT {COLUMNS} FROM identity.protocol p WHERE p.identity_provider_id = $1 AND p.id = $2"
LOCK = f"{GET} FOR UPDATE"
INSERT = f"""
INSERT INTO identity.protocol AS p (identity_provider_id, id, mapping_id, remote_id_attribute, created_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
RETURNING {COLUMNS}
"""
UPDATE = f"""
UPDATE identity.protocol AS p SET mapping_id = $3, remote_id_attribute = $4 WHERE identity_provider_id = $1 AND id = $2
RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM identity.protocol WHERE identity_provider_id = $1 AND id = $2"
MOST = 100
"""Protocols of one provider."""
COUNT = "SELECT count(*) FROM identity.protocol WHERE identity_provider_id = $1"
Row = Any


async def protocol_find(db: Any, provider_id: str, protocol_id: str) -> Row | None:
    """The protocol, or None."""
    return await db.fetchrow(GET, provider_id, protocol_id)


async def protocol_get(db: Any, provider_id: str, protocol_id: str) -> Row:
    """The protocol. Raises NotFound."""
    row = await db.fetchrow(GET, provider_id, protocol_id)
    if row is None:
        raise missing("federated protocol", protocol_id)
    return row


async def protocol_list(db: Any, provider_id: str) -> list[Row]:
    """All protocols of a provider."""
    return list(await db.fetch(LIST, provider_id))


async def protocol_insert(tx: Tx, provider_id: str, protocol_id: str, asked: dict[str, Any]) -> Row:
    """Add a protocol to a provider. Raises NotFound, BadRequest for an unknown mapping, Conflict."""
    await provider_hold(tx, provider_id)
    await _need_mapping(tx, asked["mapping_id"])
    if await tx.fetchval(COUNT, provider_id) >= MOST:
        raise Conflict(f"An identity provider can have {MOST} protocols.")
    remote_id_attribute = asked.get("remote_id_attribute")
    row = await tx.fetchrow(INSERT, provider_id, protocol_id, asked["mapping_id"], remote_id_attribute, clock.now())
    if row is None:
        raise Conflict(f"Conflict occurred attempting to store federation_protocol - {protocol_id} exists.")
    _publish(tx, provider_id, protocol_id, "created")
    return row


async def protocol_update(tx: Tx, provider_id: str, protocol_id: str, asked: dict[str, Any]) -> Row:
    """Change a protocol. What came by the old one has to come again. Raises NotFound or BadRequest."""
    provider = await provider_hold(tx, provider_id)
    old = await tx.fetchrow(LOCK, provider_id, protocol_id)
    if old is None:
        raise missing("federated protocol", protocol_id)
    mapping_id = asked.get("mapping_id", old["mapping_id"])
    await _need_mapping(tx, mapping_id)
    attribute = asked.get("remote_id_attribute", old["remote_id_attribute"])
    row = await tx.fetchrow(UPDATE, provider_id, protocol_id, mapping_id, attribute)
    _publish(tx, provider_id, protocol_id, "updated")
    await users_revoke(tx, provider_id, provider["domain_id"])
    return row


async def protocol_delete(tx: Tx, provider_id: str, protocol_id: str) -> None:
    """Delete a protocol and revoke what came by it. Raises NotFound."""
    provider = await provider_hold(tx, provider_id)
    if await tx.execute(DELETE, provider_id, protocol_id) != "DELETE 1":
        raise missing("federated protocol", protocol_id)
    _publish(tx, provider_id, protocol_id, "deleted")
    await users_revoke(tx, provider_id, provider["domain_id"])


async def _need_mapping(tx: Tx, mapping_id: str) -> None:
    if await mapping_find(tx, mapping_id) is None:
        raise BadRequest(f"Invalid mapping id: {mapping_id[:64]}")


def _publish(tx: Tx, provider_id: str, protocol_id: str, change: str) -> None:
    event = FederationChanged(kind="protocol", id=protocol_id, change=change, identity_provider_id=provider_id)
    tx.publish(event, project_id="")


def protocol_view(row: Row, base: str) -> dict[str, Any]:
    """A protocol as the API shows it."""
    path = f"{base}/OS-FEDERATION/identity_providers/{row['identity_provider_id']}"
    return {
        "id": row["id"],
        "mapping_id": row["mapping_id"],
        "remote_id_attribute": row["remote_id_attribute"],
        "links": {"self": f"{path}/protocols/{row['id']}", "identity_provider": path},
    }

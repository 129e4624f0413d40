"""Mappings: the rules that go with a protocol of an identity provider."""

from __future__ import annotations

from typing import Any

from skybus import clock
from skybus.errors import Conflict
from skybus.identity.federation.identity_providers import users_revoke
from skybus.identity.rows import missing
from skybus.messages.identity_federation import FederationChanged
from skybus.store import Tx

LIST = "SELECT m.id, m.rules, m.schema_version FROM identity.mapping m"
GET = f"{LIST} WHERE m.id = $1"
INSERT = """
INSERT INTO identity.mapping AS m (id, rules, schema_version, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
RETURNING m.id, m.rules, m.schema_version
"""
UPDATE = """
UPDATE identity.mapping AS m SET rules = $2, schema_version = $3 WHERE id = $1
RETURNING m.id, m.rules, m.schema_version
"""
DELETE = "DELETE FROM identity.mapping WHERE id = $1"
PROVIDERS = """
SELECT DISTINCT i.id, i.domain_id
  FROM identity.protocol p JOIN identity.identity_provider i ON i.id = p.identity_provider_id
 WHERE p.mapping_id = $1
"""
DEFAULT_VERSION = "1.0"
Row = Any


async def mapping_find(db: Any, mapping_id: str) -> Row | None:
    """The mapping, or None."""
    return await db.fetchrow(GET, mapping_id)


async def mapping_get(db: Any, mapping_id: str) -> Row:
    """The mapping. Raises NotFound."""
    row = await db.fetchrow(GET, mapping_id)
    if row is None:
        raise missing("mapping", mapping_id)
    return row


async def mapping_insert(tx: Tx, mapping_id: str, asked: dict[str, Any]) -> Row:
    """Keep checked rules under a new id. Raises Conflict."""
    version = asked.get("schema_version") or DEFAULT_VERSION
    row = await tx.fetchrow(INSERT, mapping_id, asked["rules"], version, clock.now())
    if row is None:
        raise Conflict(f"Conflict occurred attempting to store mapping - {mapping_id} exists.")
    tx.publish(FederationChanged(kind="mapping", id=mapping_id, change="created"), project_id="")
    return row


async def mapping_update(tx: Tx, mapping_id: str, asked: dict[str, Any]) -> Row:
    """Put other checked rules in. What the old ones gave, tokens made by them no longer have. Raises NotFound."""
    version = asked.get("schema_version") or DEFAULT_VERSION
    row = await tx.fetchrow(UPDATE, mapping_id, asked["rules"], version)
    if row is None:
        raise missing("mapping", mapping_id)
    tx.publish(FederationChanged(kind="mapping", id=mapping_id, change="updated"), project_id="")
    await _revoke(tx, mapping_id)
    return row


async def mapping_delete(tx: Tx, mapping_id: str) -> None:
    """Delete a mapping; by protocols that name it nobody comes in any more. Raises NotFound."""
    if await tx.execute(DELETE, mapping_id) != "DELETE 1":
        raise missing("mapping", mapping_id)
    tx.publish(FederationChanged(kind="mapping", id=mapping_id, change="deleted"), project_id="")
    await _revoke(tx, mapping_id)


async def _revoke(tx: Tx, mapping_id: str) -> None:
    for row in await tx.fetch(PROVIDERS, mapping_id):
        await users_revoke(tx, row["id"], row["domain_id"])


def mapping_view(row: Row, base: str) -> dict[str, Any]:
    """A mapping as the API shows it."""
    return {
        "id": row["id"],
        "rules": row["rules"],
        "schema_version": row["schema_version"],
        "links": {"self": f"{base}/OS-FEDERATION/mappings/{row['id']}"},
    }

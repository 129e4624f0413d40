"""Policies of services: text that Identity keeps for them and does not read. Their rows."""

from __future__ import annotations

from typing import Any

from skybus import clock
from skybus.identity.rows import extra_of, missing
from skybus.ids import new_hex_id
from skybus.messages.identity_catalog import PolicyBlobCreated, PolicyBlobDeleted, PolicyBlobUpdated
from skybus.store import Tx

COLUMNS = "p.id, p.type, p.blob, p.extra"
LIST = f"SELECT {COLUMNS} FROM identity.policy_blob p"
GET = f"{LIST} WHERE p.id = $1"
HOLD = f"{LIST} WHERE p.id = $1 FOR KEY SHARE"
LOCK = f"{LIST} WHERE p.id = $1 FOR UPDATE"
INSERT = f"""
INSERT INTO identity.policy_blob AS p (id, type, blob, extra, created_at) VALUES ($1, $2, $3, $4, $5)
RETURNING {COLUMNS}
"""
UPDATE = f"""
UPDATE identity.policy_blob AS p SET type = $2, blob = $3, extra = $4 WHERE id = $1 RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM identity.policy_blob WHERE id = $1"
KNOWN = frozenset(("id", "type", "blob"))
PRIVATE = frozenset(("links",))

Row = Any


async def policy_get(db: Any, policy_id: str) -> Row:
    """The policy. Raises NotFound."""
    row = await db.fetchrow(GET, policy_id)
    if row is None:
        raise missing("policy", policy_id)
    return row


async def policy_hold(tx: Tx, policy_id: str) -> Row:
    """The policy, which cannot be deleted before `tx` ends. Raises NotFound."""
    row = await tx.fetchrow(HOLD, policy_id)
    if row is None:
        raise missing("policy", policy_id)
    return row


async def policy_insert(tx: Tx, asked: dict[str, Any]) -> Row:
    """Keep a policy."""
    extra = extra_of(asked, KNOWN | PRIVATE)
    row = await tx.fetchrow(INSERT, new_hex_id(), asked["type"], asked["blob"], extra, clock.now())
    assert row is not None
    tx.publish(PolicyBlobCreated(policy_id=row["id"]), project_id="")
    return row


async def policy_update(tx: Tx, policy_id: str, asked: dict[str, Any]) -> Row:
    """Change a policy. Raises NotFound."""
    old = await tx.fetchrow(LOCK, policy_id)
    if old is None:
        raise missing("policy", policy_id)
    extra = extra_of(asked, KNOWN | PRIVATE, old["extra"])
    row = await tx.fetchrow(UPDATE, policy_id, asked.get("type", old["type"]), asked.get("blob", old["blob"]), extra)
    tx.publish(PolicyBlobUpdated(policy_id=policy_id), project_id="")
    return row


async def policy_delete(tx: Tx, policy_id: str) -> None:
    """Delete a policy and its associations. Raises NotFound."""
    if await tx.execute(DELETE, policy_id) != "DELETE 1":
        raise missing("policy", policy_id)
    tx.publish(PolicyBlobDeleted(policy_id=policy_id), project_id="")


def policy_view(row: Row, base: str) -> dict[str, Any]:
    """A policy as the API shows it."""
    return {
        **row["extra"],
        "id": row["id"],
        "type": row["type"],
        "blob": row["blob"],
        "links": {"self": f"{base}/policies/{row['id']}"},
    }

"""OAuth consumers: programs that users can give a part of their roles to. Their rows."""

from __future__ import annotations

import secrets
from typing import Any

from skybus import clock
from skybus.errors import Forbidden
from skybus.identity.auth.revocations import revoke
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.identity.rows import extra_of, missing
from skybus.ids import new_hex_id
from skybus.messages.identity_delegation import ConsumerCreated, ConsumerDeleted, ConsumerUpdated
from skybus.store import Tx

Row = Any
MOST = 10_000
"""Consumers of a cloud."""

LIST = "SELECT c.id, c.description, c.extra, c.sealed, c.key_number FROM identity.consumer c"
GET = f"{LIST} WHERE c.id = $1"
LOCK = f"{LIST} WHERE c.id = $1 FOR UPDATE"
COUNT = "SELECT count(*) FROM identity.consumer"
INSERT = """
INSERT INTO identity.consumer AS c (id, description, sealed, key_number, extra, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING c.id, c.description, c.extra
"""
UPDATE = """
UPDATE identity.consumer AS c SET description = $2, extra = $3 WHERE id = $1 RETURNING c.id, c.description, c.extra
"""
DELETE = "DELETE FROM identity.consumer WHERE id = $1"
ITS_TOKENS = "SELECT id FROM identity.access_token WHERE consumer_id = $1"

KNOWN = frozenset(("id", "description", "secret", "links"))


async def consumer_get(db: Any, consumer_id: str) -> Row:
    """The consumer. Raises NotFound."""
    row = await db.fetchrow(GET, consumer_id)
    if row is None:
        raise missing("consumer", consumer_id)
    return row


async def consumer_secret(db: Any, keys: CredentialKeys, consumer_id: str) -> str | None:
    """The secret by which a consumer signs, or None when there is no such consumer."""
    row = await db.fetchrow(GET, consumer_id)
    return None if row is None else keys.open(row["id"], row["key_number"], row["sealed"])


async def consumer_insert(tx: Tx, keys: CredentialKeys, asked: dict[str, Any]) -> tuple[Row, str]:
    """Make a consumer: (its row, its secret, which nobody is told again). Raises Forbidden when there are too many."""
    await tx.lock("identity", "consumer")
    if await tx.fetchval(COUNT) >= MOST:
        raise Forbidden(f"There can be at most {MOST} consumers.")
    consumer_id, secret = new_hex_id(), secrets.token_hex(32)
    number, sealed = keys.seal(consumer_id, secret)
    extra = extra_of(asked, KNOWN)
    row = await tx.fetchrow(INSERT, consumer_id, asked.get("description"), sealed, number, extra, clock.now())
    tx.publish(ConsumerCreated(consumer_id=consumer_id), project_id="")
    return row, secret


async def consumer_update(tx: Tx, consumer_id: str, asked: dict[str, Any]) -> Row:
    """Change a consumer's description. Raises NotFound."""
    old = await tx.fetchrow(LOCK, consumer_id)
    if old is None:
        raise missing("consumer", consumer_id)
    extra = extra_of(asked, KNOWN, old["extra"])
    row = await tx.fetchrow(UPDATE, consumer_id, asked.get("description", old["description"]), extra)
    tx.publish(ConsumerUpdated(consumer_id=consumer_id), project_id="")
    return row


async def consumer_delete(tx: Tx, consumer_id: str) -> None:
    """Delete a consumer with all its request and access tokens, and revoke what was made by them. Raises NotFound."""
    # Nobody fetches an access token for a consumer whose row is locked.
    if await tx.fetchrow(LOCK, consumer_id) is None:
        raise missing("consumer", consumer_id)
    ids = [row["id"] for row in await tx.fetch(ITS_TOKENS, consumer_id)]
    await tx.execute(DELETE, consumer_id)
    tx.publish(ConsumerDeleted(consumer_id=consumer_id), project_id="")
    await revoke(tx, *({"delegation_id": token_id} for token_id in ids))


def consumer_view(row: Row, base: str) -> dict[str, Any]:
    """A consumer as the API shows it, without its secret."""
    return {
        **row["extra"],
        "id": row["id"],
        "description": row["description"],
        "links": {"self": f"{base}/OS-OAUTH1/consumers/{row['id']}"},
    }

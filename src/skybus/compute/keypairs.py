"""Keypairs: users' public keys, which their servers let in."""

from __future__ import annotations

from typing import Any

import asyncpg

from skybus import clock
from skybus.compute.quotas import count_checked
from skybus.errors import BadRequest, Conflict, NotFound
from skybus.messages.compute import KeypairCreated, KeypairDeleted
from skybus.store import Store, Tx

COLUMNS = "number, user_id, name, type, fingerprint, public_key, created_at"
GET = f"SELECT {COLUMNS} FROM compute.keypair WHERE user_id = $1 AND name = $2"
LIST = f"""
SELECT {COLUMNS} FROM compute.keypair
 WHERE user_id = $1 AND ($2::text IS NULL OR name > $2)
 ORDER BY name LIMIT $3
"""
COUNT = "SELECT count(*) FROM compute.keypair WHERE user_id = $1"
INSERT = f"""
INSERT INTO compute.keypair (user_id, name, type, fingerprint, public_key, created_at)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM compute.keypair WHERE user_id = $1 AND name = $2 RETURNING fingerprint"


async def keypair_get(store: Store | Tx, user_id: str, name: str) -> Any:
    """The keypair's row. Raises NotFound."""
    row = await store.fetchrow(GET, user_id, name)
    if row is None:
        raise NotFound(f"Keypair {name[:255]} not found for user {user_id}")
    return row


async def keypair_list(store: Store | Tx, user_id: str, *, limit: int, marker: str | None = None) -> list[Any]:
    """A user's keypairs by name, at most `limit`, from behind `marker`. Raises BadRequest for an unknown marker."""
    if marker is not None and await store.fetchrow(GET, user_id, marker) is None:
        raise BadRequest(f"marker [{marker[:255]}] not found")
    return await store.fetch(LIST, user_id, marker, limit)


async def keypair_insert(
    tx: Tx, *, project_id: str, user_id: str, name: str, kind: str, fingerprint: str, public_key: str
) -> Any:
    """Note a keypair; answer its row. Raises Conflict when the user has one of that name, and QuotaExceeded."""
    await tx.lock("quota", "user", user_id)
    if await tx.fetchrow(GET, user_id, name) is not None:
        raise Conflict(f"Key pair '{name}' already exists.")
    await count_checked(tx, project_id, user_id, "key_pairs", await tx.fetchval(COUNT, user_id) + 1)
    try:
        row = await tx.fetchrow(INSERT, user_id, name, kind, fingerprint, public_key, clock.now())
    except asyncpg.UniqueViolationError:
        raise Conflict(f"Key pair '{name}' already exists.") from None
    tx.publish(KeypairCreated(name=name, user_id=user_id, fingerprint=fingerprint))
    return row


async def keypair_delete(tx: Tx, user_id: str, name: str) -> None:
    """Forget a keypair; servers keep the key they were made with. Raises NotFound."""
    if await tx.fetchval(DELETE, user_id, name) is None:
        raise NotFound(f"Keypair {name[:255]} not found for user {user_id}")
    tx.publish(KeypairDeleted(name=name, user_id=user_id))

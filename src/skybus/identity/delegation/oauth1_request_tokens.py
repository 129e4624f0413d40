"""OAuth request tokens: what a consumer asks a user for, until it is authorized and fetched. Their rows."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from skybus import clock
from skybus.errors import Forbidden, Unauthorized
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.ids import new_hex_id
from skybus.messages.identity_delegation import RequestTokenAuthorized, RequestTokenCreated
from skybus.store import Tx

Row = Any
LIFETIME = timedelta(hours=8)
"""For the user to make up its mind, as Keystone's request_token_duration."""
MOST = 1000
"""Request tokens of one consumer."""
LETTERS = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Of a verifier, which people read to each other."""

GET = """
SELECT id, consumer_id, project_id, sealed, key_number, user_id, verifier, role_ids, expires_at
  FROM identity.request_token WHERE id = $1
"""
FORGET = "DELETE FROM identity.request_token WHERE consumer_id = $1 AND expires_at <= $2"
COUNT = "SELECT count(*) FROM identity.request_token WHERE consumer_id = $1"
INSERT = """
INSERT INTO identity.request_token (id, consumer_id, project_id, sealed, key_number, expires_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING id, expires_at
"""
AUTHORIZE = """
UPDATE identity.request_token SET user_id = $2, verifier = $3, role_ids = $4
 WHERE id = $1 AND expires_at > $5 AND (user_id IS NULL OR user_id = $2)
RETURNING consumer_id
"""
TAKE = """
DELETE FROM identity.request_token WHERE id = $1 AND consumer_id = $2 AND verifier = $3 AND expires_at > $4
RETURNING id, consumer_id, project_id, user_id, role_ids
"""


async def request_token_find(db: Any, token_id: str) -> Row | None:
    """The request token, or None."""
    return await db.fetchrow(GET, token_id)


async def request_token_insert(tx: Tx, keys: CredentialKeys, consumer_id: str, project_id: str) -> tuple[Row, str]:
    """(A new request token's id and expires_at, its secret). Raises Forbidden when the consumer has too many."""
    now = clock.now()
    await tx.lock("identity", "request_token", consumer_id)
    await tx.execute(FORGET, consumer_id, now)
    if await tx.fetchval(COUNT, consumer_id) >= MOST:
        raise Forbidden(f"A consumer can have at most {MOST} request tokens.")
    token_id, secret = new_hex_id(), secrets.token_hex(32)
    number, sealed = keys.seal(token_id, secret)
    row = await tx.fetchrow(INSERT, token_id, consumer_id, project_id, sealed, number, now + LIFETIME, now)
    event = RequestTokenCreated(id=token_id, consumer_id=consumer_id, in_project_id=project_id)
    tx.publish(event, project_id="")
    return row, secret


async def request_token_authorize(tx: Tx, token_id: str, user_id: str, role_ids: Sequence[str]) -> str:
    """The verifier by which the consumer can fetch an access token with these roles of the user, which the caller has
    checked to be the user's own. Raises Unauthorized when the request has expired or another user answered it."""
    verifier = "".join(secrets.choice(LETTERS) for _ in range(8))
    consumer_id = await tx.fetchval(AUTHORIZE, token_id, user_id, verifier, list(role_ids), clock.now())
    if consumer_id is None:
        raise Unauthorized("The request token has expired or was authorized by another user.")
    event = RequestTokenAuthorized(id=token_id, consumer_id=consumer_id, user_id=user_id, role_ids=list(role_ids))
    tx.publish(event, project_id="")
    return verifier


async def request_token_take(tx: Tx, token_id: str, consumer_id: str, verifier: str) -> Row | None:
    """The authorized request token, which is gone now: it can be fetched once. None when it cannot."""
    return await tx.fetchrow(TAKE, token_id, consumer_id, verifier, clock.now())

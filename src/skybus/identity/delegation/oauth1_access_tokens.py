"""OAuth access tokens: a part of a user's roles on one project, in the hands of a consumer. Their rows."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from skybus import clock
from skybus.errors import Forbidden
from skybus.http.times import micros_z
from skybus.identity.auth.revocations import revoke
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.identity.delegation.delegations import Delegation, DelegationKey
from skybus.identity.rows import missing
from skybus.ids import new_hex_id
from skybus.messages.identity_delegation import AccessTokenCreated, AccessTokenDeleted
from skybus.store import Tx

Row = Any
LIFETIME = timedelta(days=1)
"""As Keystone's access_token_duration."""
MOST = 1000
"""Access tokens of one user."""

LIST = """
SELECT t.id, t.consumer_id, t.user_id, t.project_id, t.sealed, t.key_number, t.expires_at,
       COALESCE((SELECT json_agg(json_build_object('id', r.id, 'name', r.name, 'domain_id', r.domain_id,
                                                   'description', r.description, 'options', r.options, 'extra', r.extra)
                                 ORDER BY r.id)
                   FROM identity.access_token_role x JOIN identity.role r ON r.id = x.role_id
                  WHERE x.access_token_id = t.id), '[]'::json) AS roles
  FROM identity.access_token t
"""
GET = f"{LIST} WHERE t.id = $1"
FORGET = "DELETE FROM identity.access_token WHERE user_id = $1 AND expires_at <= $2"
COUNT = "SELECT count(*) FROM identity.access_token WHERE user_id = $1"
INSERT = """
INSERT INTO identity.access_token
       (id, consumer_id, user_id, project_id, sealed, key_number, expires_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
INSERT_ROLES = """
INSERT INTO identity.access_token_role SELECT $1, id FROM identity.role WHERE id = ANY ($2::text[])
"""
DELETE = "DELETE FROM identity.access_token WHERE id = $1 AND user_id = $2 RETURNING consumer_id"


async def access_token_find(db: Any, token_id: str) -> Row | None:
    """The access token with its roles, expired or not, or None."""
    return await db.fetchrow(GET, token_id)


async def access_token_get(db: Any, user_id: str, token_id: str) -> Row:
    """A user's access token. Raises NotFound."""
    row = await access_token_find(db, token_id)
    if row is None or row["user_id"] != user_id:
        raise missing("access_token", token_id)
    return row


async def access_token_insert(tx: Tx, keys: CredentialKeys, request_token: Row) -> tuple[Row, str]:
    """(A new access token for what was authorized, its secret). Raises Forbidden when the user has too many."""
    now, user_id = clock.now(), request_token["user_id"]
    await tx.lock("identity", "access_token", user_id)
    await tx.execute(FORGET, user_id, now)
    if await tx.fetchval(COUNT, user_id) >= MOST:
        raise Forbidden(f"A user can have at most {MOST} access tokens.")
    token_id, secret = new_hex_id(), secrets.token_hex(32)
    number, sealed = keys.seal(token_id, secret)
    who = request_token["consumer_id"], user_id, request_token["project_id"]
    await tx.execute(INSERT, token_id, *who, sealed, number, now + LIFETIME, now)
    await tx.execute(INSERT_ROLES, token_id, request_token["role_ids"])
    consumer_id, _, project_id = who
    event = AccessTokenCreated(id=token_id, consumer_id=consumer_id, user_id=user_id, in_project_id=project_id)
    tx.publish(event, project_id="")
    return await tx.fetchrow(GET, token_id), secret


async def access_token_delete(tx: Tx, user_id: str, token_id: str) -> None:
    """Take back what a user gave to a consumer, and revoke the tokens made by it. Raises NotFound."""
    consumer_id = await tx.fetchval(DELETE, token_id, user_id)
    if consumer_id is None:
        raise missing("access_token", token_id)
    tx.publish(AccessTokenDeleted(id=token_id, consumer_id=consumer_id, user_id=user_id), project_id="")
    await revoke(tx, {"delegation_id": token_id})


def access_token_delegates(row: Row) -> Delegation:
    """What an access token delegates."""
    return Delegation(
        key=DelegationKey("oauth1", row["id"]),
        project_id=row["project_id"],
        role_ids=tuple(role["id"] for role in row["roles"]),
        expires_at=int(row["expires_at"].timestamp()),
    )


async def access_token_delegation(db: Any, token_id: str) -> Delegation | None:
    """What an access token delegates, or None when it is gone."""
    row = await access_token_find(db, token_id)
    return None if row is None else access_token_delegates(row)


def access_token_view(row: Row, base: str) -> dict[str, Any]:
    """An access token as the API shows it, without its secret."""
    here = f"{base}/users/{row['user_id']}/OS-OAUTH1/access_tokens/{row['id']}"
    return {
        "id": row["id"],
        "consumer_id": row["consumer_id"],
        "authorizing_user_id": row["user_id"],
        "project_id": row["project_id"],
        "expires_at": micros_z(row["expires_at"]),
        "links": {"self": here, "roles": f"{here}/roles"},
    }

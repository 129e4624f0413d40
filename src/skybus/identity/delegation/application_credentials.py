"""Application credentials: a part of a user's roles on one project, for programs."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Any

from skybus import clock
from skybus.errors import Conflict, Forbidden
from skybus.http.times import micros, parse
from skybus.identity.auth.revocations import revoke
from skybus.identity.delegation.access_rules import rules_use
from skybus.identity.delegation.delegations import Delegation, DelegationKey
from skybus.identity.login.passwords import Passwords
from skybus.identity.rows import missing
from skybus.ids import new_hex_id
from skybus.messages.identity import ApplicationCredentialCreated, ApplicationCredentialDeleted
from skybus.store import Tx

Row = Any
MOST = 1000
"""Credentials of one user."""

SELECT = """
SELECT c.id, c.user_id, c.project_id, c.name, c.description, c.secret_hash, c.unrestricted, c.expires_at,
       COALESCE((SELECT json_agg(json_build_object('id', r.id, 'name', r.name, 'domain_id', r.domain_id)
                                 ORDER BY r.name)
                   FROM identity.application_credential_role x JOIN identity.role r ON r.id = x.role_id
                  WHERE x.credential_id = c.id), '[]'::json) AS roles,
       (SELECT json_agg(json_build_object('id', a.id, 'service', a.service, 'method', a.method, 'path', a.path)
                        ORDER BY a.id)
          FROM identity.application_credential_access_rule y JOIN identity.access_rule a ON a.id = y.rule_id
         WHERE y.credential_id = c.id) AS access_rules
  FROM identity.application_credential c
"""
GET = f"{SELECT} WHERE c.id = $1 AND c.user_id = $2"
FIND = f"{SELECT} WHERE c.id = $1"
BY_NAME = f"{SELECT} WHERE c.user_id = $1 AND c.name = $2"
INSERT = """
INSERT INTO identity.application_credential
       (id, user_id, project_id, name, description, secret_hash, unrestricted, expires_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING
RETURNING id
"""
INSERT_ROLES = "INSERT INTO identity.application_credential_role SELECT $1, unnest($2::text[])"
COUNT = "SELECT count(*) FROM identity.application_credential WHERE user_id = $1"
DELETE = "DELETE FROM identity.application_credential WHERE id = $1 AND user_id = $2"

_FAST = "sha256:"


async def secret_hash(passwords: Passwords, secret: str | None) -> tuple[str, str]:
    """A secret and its hash. One of our own making has 256 random bits and needs no slow hash; a given one may."""
    if secret is not None:
        return secret, await passwords.hash(secret)
    secret = secrets.token_urlsafe(32)
    return secret, _fast(secret)


async def secret_check(passwords: Passwords, secret: str, hashed: str | None) -> bool:
    """Whether `hashed` is of `secret`. Every no takes as long: nobody learns from it whether there is such a
    credential, or whether its secret is of our making."""
    if hashed is not None and hashed.startswith(_FAST):
        if hmac.compare_digest(_fast(secret), hashed):
            return True
        hashed = None
    return await passwords.check(secret, hashed)


def _fast(secret: str) -> str:
    return _FAST + hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


async def credential_insert(
    tx: Tx, asked: dict[str, Any], *, user_id: str, project_id: str, role_ids: Sequence[str], hashed: str
) -> Row:
    """Make a credential with `role_ids`, which the caller has checked to be the user's own. Raises Conflict, BadRequest
    for an access rule that is not there, Forbidden when the user has too many."""
    await tx.lock("identity", "application_credential", user_id)
    if await tx.fetchval(COUNT, user_id) >= MOST:
        raise Forbidden(f"A user can have at most {MOST} application credentials.")
    expires = asked.get("expires_at")
    credential_id = await tx.fetchval(
        INSERT,
        new_hex_id(),
        user_id,
        project_id,
        asked["name"],
        asked.get("description"),
        hashed,
        asked.get("unrestricted", False),
        parse(expires, "expires_at") if expires else None,
        clock.now(),
    )
    if credential_id is None:
        raise Conflict("Conflict occurred attempting to store application_credential - the name is in use.")
    await tx.execute(INSERT_ROLES, credential_id, list(role_ids))
    await rules_use(tx, user_id, credential_id, asked.get("access_rules") or [])
    event = ApplicationCredentialCreated(
        application_credential_id=credential_id, user_id=user_id, in_project_id=project_id
    )
    tx.publish(event, project_id="")
    return await tx.fetchrow(FIND, credential_id)


async def credential_get(db: Any, user_id: str, credential_id: str) -> Row:
    """A user's credential. Raises NotFound."""
    row = await db.fetchrow(GET, credential_id, user_id)
    if row is None:
        raise missing("application_credential", credential_id)
    return row


async def credential_find(db: Any, credential_id: str) -> Row | None:
    """The credential, whosever it is, or None."""
    return await db.fetchrow(FIND, credential_id)


def delegation_of(row: Row) -> Delegation:
    """What a credential delegates."""
    return Delegation(
        key=DelegationKey("application_credential", row["id"], ruled=bool(row["access_rules"])),
        project_id=row["project_id"],
        role_ids=tuple(role["id"] for role in row["roles"]),
        expires_at=None if row["expires_at"] is None else int(row["expires_at"].timestamp()),
        unrestricted=row["unrestricted"],
    )


async def credential_delegation(db: Any, credential_id: str) -> Delegation | None:
    """What a credential delegates, or None when there is none."""
    row = await credential_find(db, credential_id)
    return None if row is None else delegation_of(row)


async def credential_by_name(db: Any, user_id: str, name: str) -> Row | None:
    """A user's credential by its name, or None."""
    return await db.fetchrow(BY_NAME, user_id, name)


async def credential_delete(tx: Tx, user_id: str, credential_id: str) -> None:
    """Delete a credential and revoke its tokens. Raises NotFound."""
    if await tx.execute(DELETE, credential_id, user_id) != "DELETE 1":
        raise missing("application_credential", credential_id)
    event = ApplicationCredentialDeleted(application_credential_id=credential_id, user_id=user_id)
    tx.publish(event, project_id="")
    await revoke(tx, {"delegation_id": credential_id})


def credential_view(row: Row, base: str) -> dict[str, Any]:
    """A credential as the API shows it, without its secret."""
    view = {
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "project_id": row["project_id"],
        "user_id": row["user_id"],
        "system": None,
        "unrestricted": row["unrestricted"],
        "expires_at": micros(row["expires_at"]),
        "roles": row["roles"],
        "links": {"self": f"{base}/users/{row['user_id']}/application_credentials/{row['id']}"},
    }
    if row["access_rules"]:
        view["access_rules"] = row["access_rules"]
    return view

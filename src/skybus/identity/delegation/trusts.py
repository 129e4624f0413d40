"""Trusts: a trustor lets a trustee act on a project with some of the trustor's roles, and maybe pass that on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from skybus import clock
from skybus.errors import Forbidden
from skybus.http.times import micros_z
from skybus.identity.auth.revocations import revoke
from skybus.identity.delegation.delegations import Delegation, DelegationKey
from skybus.identity.roles.roles import role_view
from skybus.identity.rows import extra_of, missing
from skybus.ids import new_hex_id
from skybus.messages.identity_delegation import TrustCreated, TrustDeleted, TrustUsed
from skybus.store import Tx

Row = Any
DEEPEST = 3
"""Trusts that can hang below a trust in one line, as Keystone's max_redelegation_count."""
MOST = 1000
"""Trusts of one trustor."""

COLUMNS = """t.id, t.trustor_user_id, t.trustee_user_id, t.project_id, t.impersonation, t.expires_at, t.remaining_uses,
       t.redelegation_count, t.redelegated_trust_id, t.extra"""
LIST = f"SELECT {COLUMNS} FROM identity.trust t"
FIND = f"""
SELECT {COLUMNS},
       COALESCE((SELECT json_agg(json_build_object('id', r.id, 'name', r.name, 'domain_id', r.domain_id,
                                                   'description', r.description, 'options', r.options, 'extra', r.extra)
                                 ORDER BY r.id)
                   FROM identity.trust_role x JOIN identity.role r ON r.id = x.role_id
                  WHERE x.trust_id = t.id), '[]'::json) AS roles
  FROM identity.trust t WHERE t.id = $1
"""
INSERT = """
INSERT INTO identity.trust
       (id, trustor_user_id, trustee_user_id, project_id, impersonation, expires_at, remaining_uses, redelegation_count,
        redelegated_trust_id, extra, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
INSERT_ROLES = "INSERT INTO identity.trust_role SELECT $1, unnest($2::text[])"
COUNT = "SELECT count(*) FROM identity.trust WHERE trustor_user_id = $1"
USE = """
UPDATE identity.trust SET remaining_uses = remaining_uses - 1 WHERE id = $1 AND remaining_uses > 0
RETURNING remaining_uses
"""
DELETE = "DELETE FROM identity.trust WHERE id = $1"
BELOW = """
WITH RECURSIVE below (id) AS (
    SELECT id FROM identity.trust WHERE id = $1
    UNION
    SELECT t.id FROM identity.trust t JOIN below b ON t.redelegated_trust_id = b.id
)
SELECT t.id, t.trustor_user_id, t.trustee_user_id FROM identity.trust t JOIN below b ON b.id = t.id
"""
# Everybody through whose hands the roles went, the one who had them first.
PEOPLE = """
WITH RECURSIVE line (redelegated_trust_id, trustor_user_id, trustee_user_id, step) AS (
    SELECT redelegated_trust_id, trustor_user_id, trustee_user_id, 0 FROM identity.trust WHERE id = $1
    UNION ALL
    SELECT t.redelegated_trust_id, t.trustor_user_id, t.trustee_user_id, l.step + 1
      FROM identity.trust t JOIN line l ON t.id = l.redelegated_trust_id
)
SELECT u.id, u.domain_id, u.enabled AND d.enabled AS enabled
  FROM line l
  CROSS JOIN LATERAL (VALUES (0, l.trustor_user_id), (1, l.trustee_user_id)) AS who (place, user_id)
  JOIN identity."user" u ON u.id = who.user_id
  JOIN identity.project d ON d.id = u.domain_id
 ORDER BY l.step DESC, who.place
"""

KNOWN = frozenset(
    (
        "id",
        "trustor_user_id",
        "trustee_user_id",
        "project_id",
        "impersonation",
        "expires_at",
        "remaining_uses",
        "redelegation_count",
        "redelegated_trust_id",
        "allow_redelegation",
        "roles",
        "roles_links",
        "links",
        "deleted_at",
    )
)


async def trust_find(db: Any, trust_id: str) -> Row | None:
    """The trust with its roles, whether or not it can still be used, or None."""
    return await db.fetchrow(FIND, trust_id)


async def trust_get(db: Any, trust_id: str) -> Row:
    """The trust with its roles. Raises NotFound when it is gone, has expired or is used up."""
    row = await trust_find(db, trust_id)
    if row is None or spent(row):
        raise missing("trust", trust_id)
    return row


def spent(row: Row) -> bool:
    """Whether no token can be made by a trust any more."""
    expired = row["expires_at"] is not None and row["expires_at"] <= clock.now()
    return bool(expired or row["remaining_uses"] == 0)


async def trust_people(db: Any, trust_id: str) -> list[Row]:
    """Everybody through whose hands the roles of a trust went (id, domain_id, enabled): first the one who had them."""
    return list(await db.fetch(PEOPLE, trust_id))


async def trusts_lock(tx: Tx) -> None:
    """Nobody else makes or deletes trusts before `tx` ends: no trust can grow below one that is being deleted."""
    await tx.lock("identity", "trust")


async def trust_insert(
    tx: Tx,
    asked: dict[str, Any],
    *,
    role_ids: Sequence[str],
    expires_at: datetime | None,
    redelegation_count: int,
    parent_id: str | None,
) -> Row:
    """Make a trust with `role_ids`, which the caller, who holds `trusts_lock`, has checked. Raises Forbidden when the
    trustor has too many."""
    if await tx.fetchval(COUNT, asked["trustor_user_id"]) >= MOST:
        raise Forbidden(f"A user can have at most {MOST} trusts.")
    trust_id = new_hex_id()
    await tx.execute(
        INSERT,
        trust_id,
        asked["trustor_user_id"],
        asked["trustee_user_id"],
        asked.get("project_id"),
        asked["impersonation"],
        expires_at,
        asked.get("remaining_uses"),
        redelegation_count,
        parent_id,
        extra_of(asked, KNOWN),
        clock.now(),
    )
    await tx.execute(INSERT_ROLES, trust_id, list(role_ids))
    event = TrustCreated(
        trust_id=trust_id,
        trustor_user_id=asked["trustor_user_id"],
        trustee_user_id=asked["trustee_user_id"],
        in_project_id=asked.get("project_id"),
        impersonation=asked["impersonation"],
        redelegated_trust_id=parent_id,
    )
    tx.publish(event, project_id="")
    return await tx.fetchrow(FIND, trust_id)


async def trust_use(tx: Tx, trust_id: str) -> None:
    """Take one of a trust's uses. Raises Forbidden when none is left, however many ask at once."""
    left = await tx.fetchval(USE, trust_id)
    if left is None:
        raise Forbidden("This trust has no uses left.")
    tx.publish(TrustUsed(trust_id=trust_id, remaining_uses=left), project_id="")


async def trust_delete(tx: Tx, trust_id: str) -> None:
    """Delete a trust and all below it, and revoke their tokens. Raises NotFound."""
    await trusts_lock(tx)
    rows = await tx.fetch(BELOW, trust_id)
    if not rows:
        raise missing("trust", trust_id)
    await tx.execute(DELETE, trust_id)
    for row in rows:
        tx.publish(
            TrustDeleted(
                trust_id=row["id"], trustor_user_id=row["trustor_user_id"], trustee_user_id=row["trustee_user_id"]
            ),
            project_id="",
        )
    await revoke(tx, *({"delegation_id": row["id"]} for row in rows))


def trust_delegation(row: Row, people: Sequence[Row], speaker: Row) -> Delegation:
    """What a trust delegates to a token that names `speaker` as its user."""
    ids = [identifier for person in people for identifier in (person["id"], person["domain_id"])]
    known = {speaker["id"], speaker["domain_id"]}
    others = tuple(identifier for identifier in dict.fromkeys(ids) if identifier not in known)
    return Delegation(
        key=DelegationKey("trust", row["id"], depends_on=others),
        project_id=row["project_id"] or "",
        role_ids=tuple(role["id"] for role in row["roles"]),
        expires_at=None if row["expires_at"] is None else int(row["expires_at"].timestamp()),
    )


async def trust_of_token(db: Any, trust_id: str) -> Delegation | None:
    """What the trust delegates by which a token was made, or None when it is gone."""
    row = await trust_find(db, trust_id)
    if row is None:
        return None
    people = await trust_people(db, trust_id)
    named = row["trustor_user_id"] if row["impersonation"] else row["trustee_user_id"]
    return trust_delegation(row, people, next(person for person in people if person["id"] == named))


def trust_view(row: Row, base: str) -> dict[str, Any]:
    """A trust as lists show it: without its roles."""
    return {
        **row["extra"],
        "id": row["id"],
        "trustor_user_id": row["trustor_user_id"],
        "trustee_user_id": row["trustee_user_id"],
        "project_id": row["project_id"],
        "impersonation": row["impersonation"],
        "expires_at": micros_z(row["expires_at"]),
        "deleted_at": None,
        "remaining_uses": row["remaining_uses"],
        "redelegation_count": row["redelegation_count"],
        "redelegated_trust_id": row["redelegated_trust_id"],
        "links": {"self": f"{base}/OS-TRUST/trusts/{row['id']}"},
    }


def trust_detail(row: Row, base: str) -> dict[str, Any]:
    """A trust as the API shows it alone."""
    roles_at = {"self": f"{base}/OS-TRUST/trusts/{row['id']}/roles", "next": None, "previous": None}
    return {
        **trust_view(row, base),
        "roles": [role_view(role, base) for role in row["roles"]],
        "roles_links": roles_at,
    }

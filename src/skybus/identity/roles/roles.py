"""Roles, and which role implies which."""

from __future__ import annotations

from typing import Any

import asyncpg

from skybus import clock
from skybus.errors import BadRequest, Conflict, Forbidden
from skybus.identity.auth.revocations import revoke
from skybus.identity.immutable import options_after, refuse_change, refuse_delete
from skybus.identity.projects.projects import domain_hold
from skybus.identity.rows import extra_of, missing
from skybus.ids import new_hex_id
from skybus.messages.identity import (
    RoleCreated,
    RoleDeleted,
    RoleImplicationCreated,
    RoleImplicationDeleted,
    RoleUpdated,
)
from skybus.store import Tx

COLUMNS = "r.id, r.name, r.domain_id, r.description, r.options, r.extra"
LIST = f"SELECT {COLUMNS} FROM identity.role r"
GET = f"{LIST} WHERE r.id = $1"
LOCK = f"{LIST} WHERE r.id = $1 FOR UPDATE"
HOLD = f"{LIST} WHERE r.id = $1 FOR KEY SHARE"
BY_NAME = f"{LIST} WHERE r.domain_id IS NULL AND r.name = $1"
INSERT = f"""
INSERT INTO identity.role AS r (id, name, domain_id, description, options, extra, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING
RETURNING {COLUMNS}
"""
UPDATE = f"""
UPDATE identity.role AS r SET name = $2, description = $3, options = $4, extra = $5 WHERE id = $1 RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM identity.role WHERE id = $1"
# A role of one domain stands in no token, but what it implies does.
NAMES_BELOW = """
WITH RECURSIVE below (id) AS (
    SELECT $1::text UNION SELECT i.implied_id FROM identity.implied_role i JOIN below b ON i.prior_id = b.id
)
SELECT r.name FROM identity.role r JOIN below b ON b.id = r.id WHERE r.domain_id IS NULL
"""
CROWD = 1000
# Whoever has a role of one domain, by roles of domains that imply it, too.
HOLDERS = f"""
WITH RECURSIVE above (id) AS (
    SELECT $1::text UNION SELECT i.prior_id FROM identity.implied_role i JOIN above a ON i.implied_id = a.id
)
SELECT DISTINCT COALESCE(a.user_id, m.user_id) AS user_id
  FROM identity.assignment a LEFT JOIN identity.belonging m ON m.group_id = a.group_id
 WHERE a.role_id IN (SELECT id FROM above) AND COALESCE(a.user_id, m.user_id) IS NOT NULL
 LIMIT {CROWD + 1}
"""
DELEGATIONS_BELOW = """
WITH RECURSIVE below (id) AS (
    SELECT $1::text UNION SELECT i.implied_id FROM identity.implied_role i JOIN below b ON i.prior_id = b.id
)
SELECT credential_id AS id FROM identity.application_credential_role WHERE role_id IN (SELECT id FROM below)
UNION
SELECT trust_id FROM identity.trust_role WHERE role_id IN (SELECT id FROM below)
UNION
SELECT access_token_id FROM identity.access_token_role WHERE role_id IN (SELECT id FROM below)
"""
IMPLY = "INSERT INTO identity.implied_role (prior_id, implied_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"
UNIMPLY = "DELETE FROM identity.implied_role WHERE prior_id = $1 AND implied_id = $2"
IMPLIES = "SELECT EXISTS (SELECT 1 FROM identity.implied_role WHERE prior_id = $1 AND implied_id = $2)"
WOULD_CIRCLE = """
WITH RECURSIVE below (id) AS (
    SELECT $2::text UNION SELECT i.implied_id FROM identity.implied_role i JOIN below b ON i.prior_id = b.id
)
SELECT EXISTS (SELECT 1 FROM below WHERE id = $1)
"""
INFERENCES = """
SELECT p.id AS prior_id, p.name AS prior_name, r.id, r.name, r.domain_id, r.description, r.options, r.extra
  FROM identity.implied_role i
  JOIN identity.role p ON p.id = i.prior_id
  JOIN identity.role r ON r.id = i.implied_id
 WHERE $1::text IS NULL OR i.prior_id = $1
 ORDER BY p.id, r.id
"""

IS_IMPLIED = "SELECT EXISTS (SELECT 1 FROM identity.implied_role WHERE implied_id = $1)"
NEVER_IMPLIED = frozenset(("admin",))
"""Names of roles that must be given by themselves."""

KNOWN = frozenset(("id", "name", "domain_id", "description", "options"))
PRIVATE = frozenset(("links",))
Row = Any


async def role_get(db: Any, role_id: str) -> Row:
    """The role. Raises NotFound."""
    row = await db.fetchrow(GET, role_id)
    if row is None:
        raise missing("role", role_id)
    return row


async def role_hold(tx: Tx, role_id: str) -> Row:
    """The role, which cannot be deleted before `tx` ends. Raises NotFound."""
    row = await tx.fetchrow(HOLD, role_id)
    if row is None:
        raise missing("role", role_id)
    return row


async def role_by_name(db: Any, name: str) -> Row | None:
    """The role of the whole cloud that is called `name`, or None."""
    return await db.fetchrow(BY_NAME, name)


async def role_insert(tx: Tx, asked: dict[str, Any]) -> Row:
    """Make a role from a request's attributes. Raises NotFound or Conflict."""
    domain_id = asked.get("domain_id")
    if domain_id is not None:
        await domain_hold(tx, domain_id)
    row = await tx.fetchrow(
        INSERT,
        new_hex_id(),
        asked["name"],
        domain_id,
        asked.get("description"),
        options_after({}, asked.get("options", {})),
        extra_of(asked, KNOWN | PRIVATE),
        clock.now(),
    )
    if row is None:
        raise Conflict(f"Conflict occurred attempting to store role - the name {asked['name']} is in use.")
    tx.publish(RoleCreated(role_id=row["id"], name=row["name"]), project_id="")
    return row


async def role_update(tx: Tx, role_id: str, asked: dict[str, Any]) -> Row:
    """Change a role; tokens that carry its old name die with the name. Raises NotFound, BadRequest, Forbidden or
    Conflict."""
    old = await tx.fetchrow(LOCK, role_id)
    if old is None:
        raise missing("role", role_id)
    refuse_change("role", old, asked)
    for key in ("id", "domain_id"):
        if key in asked and asked[key] != old[key]:
            raise BadRequest(f"{key} of a role cannot be changed.")
    name = asked.get("name", old["name"])
    if name in NEVER_IMPLIED and old["domain_id"] is None and await tx.fetchval(IS_IMPLIED, role_id):
        raise Forbidden(f"A role that others imply cannot be called {name}.")
    try:
        row = await tx.fetchrow(
            UPDATE,
            role_id,
            name,
            asked.get("description", old["description"]),
            options_after(old["options"], asked.get("options", {})),
            extra_of(asked, KNOWN | PRIVATE, old["extra"]),
        )
    except asyncpg.UniqueViolationError:
        raise Conflict("Conflict occurred attempting to store role - the name is in use.") from None
    tx.publish(RoleUpdated(role_id=role_id, name=name), project_id="")
    if name != old["name"]:
        await revoke(tx, {"role": old["name"]})
    return row


async def role_delete(tx: Tx, role_id: str) -> None:
    """Delete a role and its assignments, and revoke the tokens that carry it or what it implied.

    Raises NotFound, or Forbidden for an immutable role.
    """
    row = await tx.fetchrow(LOCK, role_id)
    if row is None:
        raise missing("role", role_id)
    refuse_delete("role", row)
    made = await _tokens_made_by(tx, row)
    await tx.execute(DELETE, role_id)
    tx.publish(RoleDeleted(role_id=role_id, name=row["name"]), project_id="")
    await revoke(tx, *made)


async def _tokens_made_by(tx: Tx, role: Row) -> list[dict[str, str]]:
    """What the tokens match that were made by `role`: its own name, for a token carries its roles beside what they
    imply. A delegation may have passed on what the role implies without the role itself: its tokens are told by the
    delegation. A role of one domain stands in no token: its tokens are told by who has it, or, where that is a crowd,
    by what it implies."""
    delegations = [row["id"] for row in await tx.fetch(DELEGATIONS_BELOW, role["id"])]
    matches = [{"delegation_id": one} for one in delegations]
    if role["domain_id"] is None:
        return [{"role": role["name"]}, *matches]
    holders = await tx.fetch(HOLDERS, role["id"])
    if len(holders) <= CROWD:
        return [*matches, *({"user_id": row["user_id"]} for row in holders)]
    return [*matches, *({"role": row["name"]} for row in await tx.fetch(NAMES_BELOW, role["id"]))]


async def implication_insert(tx: Tx, prior_id: str, implied_id: str) -> None:
    """Let one role imply another; it may do so already.

    Raises NotFound, Forbidden when a role of the whole cloud would imply one of a domain, or any role would imply
    `admin`, BadRequest for a circle.
    """
    # Before the roles themselves: two rules that would close a circle hold each other's roles.
    await tx.lock("identity", "implied_role")
    # Locked, because a role that is implied may not take certain names.
    prior, implied = await role_hold(tx, prior_id), await tx.fetchrow(LOCK, implied_id)
    if implied is None:
        raise missing("role", implied_id)
    if implied["name"] in NEVER_IMPLIED and implied["domain_id"] is None:
        raise Forbidden(f"{implied_id} cannot be an implied role.")
    if implied["domain_id"] is not None and prior["domain_id"] is None:
        raise Forbidden("A role of the whole cloud cannot imply a role of one domain.")
    if await tx.fetchval(WOULD_CIRCLE, prior_id, implied_id):
        raise BadRequest("A role cannot imply itself, neither directly nor through others.")
    await tx.execute(IMPLY, prior_id, implied_id)
    tx.publish(RoleImplicationCreated(prior_role_id=prior_id, implied_role_id=implied_id), project_id="")


async def implication_delete(tx: Tx, prior_id: str, implied_id: str) -> None:
    """Let one role no longer imply another; tokens die that were made by the prior one. Raises NotFound."""
    await role_get(tx, implied_id)
    made = await _tokens_made_by(tx, await role_get(tx, prior_id))
    if await tx.execute(UNIMPLY, prior_id, implied_id) != "DELETE 1":
        raise missing("implied role", f"{prior_id} {implied_id}")
    tx.publish(RoleImplicationDeleted(prior_role_id=prior_id, implied_role_id=implied_id), project_id="")
    await revoke(tx, *made)


async def implies(db: Any, prior_id: str, implied_id: str) -> bool:
    """Whether one role implies another directly."""
    return bool(await db.fetchval(IMPLIES, prior_id, implied_id))


async def inferences(db: Any, prior_id: str | None = None) -> list[Row]:
    """The roles that are implied directly, by one role or by any, with the prior role's id and name beside them."""
    return list(await db.fetch(INFERENCES, prior_id))


def role_view(row: Row, base: str) -> dict[str, Any]:
    """A role as the API shows it."""
    return {
        **row["extra"],
        "id": row["id"],
        "name": row["name"],
        "domain_id": row["domain_id"],
        "description": row["description"],
        "options": row["options"],
        "links": {"self": f"{base}/roles/{row['id']}"},
    }

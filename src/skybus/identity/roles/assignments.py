"""Who has which role where: grants, what they amount to, and what a user may scope a token to."""

from __future__ import annotations

from typing import Any

import msgspec

from skybus.identity.auth.claims import SYSTEM
from skybus.identity.auth.revocations import revoke
from skybus.identity.people.groups import MEMBERS
from skybus.identity.rows import missing
from skybus.messages.identity import RoleAssigned, RoleUnassigned
from skybus.store import Tx

Row = Any

GRANT = """
INSERT INTO identity.assignment (role_id, user_id, group_id, target_id, inherited)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
"""
SAME = """
WHERE role_id = $1 AND user_id IS NOT DISTINCT FROM $2 AND group_id IS NOT DISTINCT FROM $3
  AND target_id IS NOT DISTINCT FROM $4 AND inherited = $5
"""
REVOKE = f"DELETE FROM identity.assignment {SAME}"
EXISTS = f"SELECT EXISTS (SELECT 1 FROM identity.assignment {SAME})"
GRANTED = """
SELECT r.id, r.name, r.domain_id, r.description, r.options, r.extra
  FROM identity.assignment a JOIN identity.role r ON r.id = a.role_id
 WHERE a.user_id IS NOT DISTINCT FROM $1 AND a.group_id IS NOT DISTINCT FROM $2
   AND a.target_id IS NOT DISTINCT FROM $3 AND a.inherited = $4
 ORDER BY r.id
"""

# The roles that a user really has on a target: direct, by groups, inherited from above, implied. $2 null is the system.
EFFECTIVE = """
WITH RECURSIVE above (id) AS (
    SELECT parent_id FROM identity.project WHERE id = $2
    UNION
    SELECT p.parent_id FROM identity.project p JOIN above a ON p.id = a.id
), effective (role_id) AS (
    SELECT a.role_id
      FROM identity.assignment a
     WHERE (a.user_id = $1 OR a.group_id IN (SELECT group_id FROM identity.belonging WHERE user_id = $1))
       AND ((a.target_id IS NOT DISTINCT FROM $2 AND NOT a.inherited)
            OR (a.inherited AND a.target_id IN (SELECT id FROM above)))
    UNION
    SELECT i.implied_id FROM identity.implied_role i JOIN effective e ON i.prior_id = e.role_id
)
SELECT r.id, r.name FROM effective e JOIN identity.role r ON r.id = e.role_id WHERE r.domain_id IS NULL ORDER BY r.name
"""

# Projects and domains where a user has any role; `$2` chooses which of the two.
REACHABLE = """
WITH RECURSIVE mine AS (
    SELECT a.target_id, a.inherited
      FROM identity.assignment a
     WHERE a.target_id IS NOT NULL
       AND (a.user_id = $1 OR a.group_id IN (SELECT group_id FROM identity.belonging WHERE user_id = $1))
), below (id) AS (
    SELECT p.id FROM identity.project p JOIN mine m ON p.parent_id = m.target_id WHERE m.inherited
    UNION
    SELECT p.id FROM identity.project p JOIN below b ON p.parent_id = b.id
)
SELECT p.id, p.domain_id, p.parent_id, p.is_domain, p.name, p.description, p.enabled, p.tags, p.options, p.extra
  FROM identity.project p
  LEFT JOIN identity.project d ON d.id = p.domain_id
 WHERE p.is_domain = $2
   AND (p.id IN (SELECT target_id FROM mine WHERE NOT inherited) OR p.id IN (SELECT id FROM below))
   AND ($3 OR (p.enabled AND COALESCE(d.enabled, true)))
 ORDER BY p.id
"""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Who (a user or a group) has which role where (a project, a domain, or the system when there is no target)."""

    role_id: str
    user_id: str | None = None
    group_id: str | None = None
    target_id: str | None = None
    inherited: bool = False

    @property
    def args(self) -> tuple[str, str | None, str | None, str | None, bool]:
        """As the statements want it."""
        return self.role_id, self.user_id, self.group_id, self.target_id, self.inherited


async def grant_insert(tx: Tx, grant: Grant) -> None:
    """Give a role; it may have been given before. The caller holds the rows that it names."""
    await tx.execute(GRANT, *grant.args)
    tx.publish(RoleAssigned(**_told(grant)), project_id="")


async def grant_delete(tx: Tx, grant: Grant) -> None:
    """Take a role away, and revoke the tokens that were made by it. Raises NotFound."""
    if await tx.execute(REVOKE, *grant.args) != "DELETE 1":
        raise missing("role assignment with role", grant.role_id)
    tx.publish(RoleUnassigned(**_told(grant)), project_id="")
    users = [grant.user_id] if grant.group_id is None else [row[0] for row in await tx.fetch(MEMBERS, grant.group_id)]
    # An inherited role concerns every project below its target: all the user's tokens, then.
    where = {} if grant.inherited else {"target": grant.target_id or SYSTEM}
    await revoke(tx, *({"user_id": user_id, **where} for user_id in users if user_id is not None))


def _told(grant: Grant) -> dict[str, Any]:
    return {
        "role_id": grant.role_id,
        "user_id": grant.user_id,
        "group_id": grant.group_id,
        "target": grant.target_id or SYSTEM,
        "inherited": grant.inherited,
    }


async def grant_exists(db: Any, grant: Grant) -> bool:
    """Whether this very role was given."""
    return bool(await db.fetchval(EXISTS, *grant.args))


async def granted(
    db: Any, *, user_id: str | None, group_id: str | None, target_id: str | None, inherited: bool = False
) -> list[Row]:
    """The roles that were given to a user or a group on one target."""
    return list(await db.fetch(GRANTED, user_id, group_id, target_id, inherited))


async def effective_roles(db: Any, user_id: str, target_id: str | None) -> list[Row]:
    """The roles (id, name) that a user has on a project or domain, or on the system when that is None."""
    return list(await db.fetch(EFFECTIVE, user_id, target_id))


async def projects_of(db: Any, user_id: str, *, disabled_too: bool = False) -> list[Row]:
    """The projects on which a user has a role."""
    return list(await db.fetch(REACHABLE, user_id, False, disabled_too))


async def domains_of(db: Any, user_id: str) -> list[Row]:
    """The enabled domains on which a user has a role."""
    return list(await db.fetch(REACHABLE, user_id, True, False))

"""The end of a domain, and of all that is in it. Its row is that of a project without a parent."""

from __future__ import annotations

from skybus.errors import Forbidden
from skybus.identity.auth.revocations import revoke
from skybus.identity.immutable import refuse_delete
from skybus.identity.projects.projects import LOCK, NOBODYS_DEFAULT
from skybus.identity.rows import missing
from skybus.messages.identity import (
    DomainDeleted,
    GroupDeleted,
    ProjectDeleted,
    RoleDeleted,
    UserDeleted,
)
from skybus.store import Tx

IMMUTABLE_INSIDE = """
SELECT id, options FROM identity.project WHERE domain_id = $1 AND (options -> 'immutable')::text = 'true' LIMIT 1
"""
DELETE = "DELETE FROM identity.project WHERE id = $1 OR domain_id = $1 RETURNING id"
USERS = """SELECT id FROM identity."user" WHERE domain_id = $1"""
GROUPS = """SELECT id FROM identity."group" WHERE domain_id = $1"""
ROLES = "SELECT id, name FROM identity.role WHERE domain_id = $1"

# Who is elsewhere at home and loses what a group of this domain gave.
GUESTS = """
SELECT DISTINCT m.user_id
  FROM identity.belonging m
  JOIN identity."group" g ON g.id = m.group_id
  JOIN identity."user" u ON u.id = m.user_id
 WHERE g.domain_id = $1 AND u.domain_id <> $1
"""
# What the domain's own roles put into tokens of other domains, by grants there or by other domains' roles.
ROLES_ABROAD = """
WITH RECURSIVE below (id) AS (
    SELECT r.id FROM identity.role r
     WHERE r.domain_id = $1
       AND (EXISTS (SELECT 1 FROM identity.assignment a LEFT JOIN identity.project t ON t.id = a.target_id
                     WHERE a.role_id = r.id AND COALESCE(t.domain_id, t.id, '') <> $1)
            OR EXISTS (SELECT 1 FROM identity.implied_role i JOIN identity.role p ON p.id = i.prior_id
                        WHERE i.implied_id = r.id AND p.domain_id <> $1))
    UNION
    SELECT i.implied_id FROM identity.implied_role i JOIN below b ON i.prior_id = b.id
)
SELECT r.name FROM identity.role r JOIN below b ON b.id = r.id WHERE r.domain_id IS NULL
"""


async def domain_delete(tx: Tx, domain_id: str) -> None:
    """Delete a disabled domain and all in it, each with its event. Raises NotFound or Forbidden."""
    row = await tx.fetchrow(LOCK, domain_id)
    if row is None or not row["is_domain"]:
        raise missing("domain", domain_id)
    refuse_delete("domain", row)
    if row["enabled"]:
        raise Forbidden("Cannot delete a domain that is enabled, please disable it first.")
    inside = await tx.fetchrow(IMMUTABLE_INSIDE, domain_id)
    if inside is not None:
        refuse_delete("project", inside)
    guests = [one["user_id"] for one in await tx.fetch(GUESTS, domain_id)]
    names = [one["name"] for one in await tx.fetch(ROLES_ABROAD, domain_id)]
    await _tell_contents(tx, domain_id)
    projects = [one["id"] for one in await tx.fetch(DELETE, domain_id) if one["id"] != domain_id]
    await tx.execute(NOBODYS_DEFAULT, projects)
    for project_id in projects:
        tx.publish(ProjectDeleted(project_id=project_id, domain_id=domain_id), project_id=project_id)
    tx.publish(DomainDeleted(domain_id=domain_id), project_id="")
    await revoke(
        tx, {"domain_id": domain_id}, *({"user_id": one} for one in guests), *({"role": name} for name in names)
    )


async def _tell_contents(tx: Tx, domain_id: str) -> None:
    """Say of users, groups and roles that they go with their domain."""
    for one in await tx.fetch(USERS, domain_id):
        tx.publish(UserDeleted(user_id=one["id"]), project_id="")
    for one in await tx.fetch(GROUPS, domain_id):
        tx.publish(GroupDeleted(group_id=one["id"]), project_id="")
    for one in await tx.fetch(ROLES, domain_id):
        tx.publish(RoleDeleted(role_id=one["id"], name=one["name"]), project_id="")

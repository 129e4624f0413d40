"""Groups of users: their rows and members."""

from __future__ import annotations

from typing import Any

import asyncpg

from skybus import clock
from skybus.errors import BadRequest, Conflict
from skybus.identity.auth.revocations import revoke
from skybus.identity.people.users import user_hold
from skybus.identity.projects.projects import domain_hold
from skybus.identity.rows import extra_of, missing
from skybus.ids import new_hex_id
from skybus.messages.identity import GroupCreated, GroupDeleted, GroupMemberAdded, GroupMemberRemoved, GroupUpdated
from skybus.store import Tx

COLUMNS = "g.id, g.domain_id, g.name, g.description, g.extra"
LIST = f"""SELECT {COLUMNS} FROM identity."group" g"""
GET = f"{LIST} WHERE g.id = $1"
LOCK = f"{LIST} WHERE g.id = $1 FOR UPDATE"
HOLD = f"{LIST} WHERE g.id = $1 FOR KEY SHARE"
INSERT = f"""
INSERT INTO identity."group" AS g (id, domain_id, name, description, extra, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
RETURNING {COLUMNS}
"""
UPDATE = f"""
UPDATE identity."group" AS g SET name = $2, description = $3, extra = $4 WHERE id = $1 RETURNING {COLUMNS}
"""
DELETE = """DELETE FROM identity."group" WHERE id = $1"""
MEMBERS = "SELECT user_id FROM identity.belonging WHERE group_id = $1"
IS_MEMBER = "SELECT EXISTS (SELECT 1 FROM identity.membership WHERE group_id = $1 AND user_id = $2)"
ADD = "INSERT INTO identity.membership (group_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"
REMOVE = "DELETE FROM identity.membership WHERE group_id = $1 AND user_id = $2"

KNOWN = frozenset(("id", "domain_id", "name", "description"))
PRIVATE = frozenset(("links",))
Row = Any


async def group_find(db: Any, group_id: str) -> Row | None:
    """The group, or None."""
    return await db.fetchrow(GET, group_id)


async def group_insert(tx: Tx, asked: dict[str, Any], domain_id: str) -> Row:
    """Make a group from a request's attributes. Raises NotFound or Conflict."""
    await domain_hold(tx, domain_id)
    row = await tx.fetchrow(
        INSERT,
        new_hex_id(),
        domain_id,
        asked["name"],
        asked.get("description") or "",
        extra_of(asked, KNOWN | PRIVATE),
        clock.now(),
    )
    if row is None:
        raise Conflict(f"Conflict occurred attempting to store group - the name {asked['name']} is in use.")
    tx.publish(GroupCreated(group_id=row["id"], domain_id=domain_id, name=row["name"]), project_id="")
    return row


async def group_update(tx: Tx, group_id: str, asked: dict[str, Any]) -> Row:
    """Change a group. Raises NotFound, BadRequest or Conflict."""
    old = await tx.fetchrow(LOCK, group_id)
    if old is None:
        raise missing("group", group_id)
    if "domain_id" in asked and asked["domain_id"] != old["domain_id"]:
        raise BadRequest("The domain of a group cannot be changed.")
    try:
        row = await tx.fetchrow(
            UPDATE,
            group_id,
            asked.get("name", old["name"]),
            asked.get("description", old["description"]) or "",
            extra_of(asked, KNOWN | PRIVATE, old["extra"]),
        )
    except asyncpg.UniqueViolationError:
        raise Conflict("Conflict occurred attempting to store group - the name is in use.") from None
    tx.publish(GroupUpdated(group_id=group_id), project_id="")
    return row


async def group_delete(tx: Tx, group_id: str) -> None:
    """Delete a group; what its members could do by it, their tokens can no longer. Raises NotFound."""
    if await tx.fetchrow(LOCK, group_id) is None:
        raise missing("group", group_id)
    members = await tx.fetch(MEMBERS, group_id)
    await tx.execute(DELETE, group_id)
    tx.publish(GroupDeleted(group_id=group_id), project_id="")
    await revoke(tx, *({"user_id": row["user_id"]} for row in members))


async def member_add(tx: Tx, group_id: str, user_id: str) -> None:
    """Put a user into a group; it may be there. Raises NotFound."""
    if await tx.fetchrow(HOLD, group_id) is None:
        raise missing("group", group_id)
    await user_hold(tx, user_id)
    await tx.execute(ADD, group_id, user_id)
    tx.publish(GroupMemberAdded(group_id=group_id, user_id=user_id), project_id="")


async def member_remove(tx: Tx, group_id: str, user_id: str) -> None:
    """Take a user out of a group. Raises NotFound."""
    if await tx.execute(REMOVE, group_id, user_id) != "DELETE 1":
        raise missing("user in group", user_id)
    tx.publish(GroupMemberRemoved(group_id=group_id, user_id=user_id), project_id="")
    await revoke(tx, {"user_id": user_id})


async def is_member(db: Any, group_id: str, user_id: str) -> bool:
    """Whether a user is in a group."""
    return bool(await db.fetchval(IS_MEMBER, group_id, user_id))


def group_view(row: Row, base: str) -> dict[str, Any]:
    """A group as the API shows it."""
    return {
        **row["extra"],
        "id": row["id"],
        "name": row["name"],
        "domain_id": row["domain_id"],
        "description": row["description"],
        "links": {"self": f"{base}/groups/{row['id']}"},
    }

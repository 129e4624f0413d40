"""A directory's users and groups as rows of ours, so that roles, lists and tokens need not know where they come from.

Only what changed is written. Nothing is deleted because a directory does not have it at this moment: the row is set
aside, with its roles, and its tokens are revoked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog

from skybus import clock
from skybus.identity.auth.revocations import revoke
from skybus.identity.ldap.ldap_directory import Person, Team
from skybus.messages.identity import (
    GroupCreated,
    GroupMemberAdded,
    GroupMemberRemoved,
    GroupUpdated,
    UserCreated,
    UserUpdated,
)
from skybus.store import Tx

log = structlog.get_logger()
Row = Any

USERS = """
SELECT u.id, u.name, u.enabled, u.default_project_id, u.extra, e.gone
  FROM identity.directory_entry e JOIN identity."user" u ON u.id = e.id
 WHERE e.domain_id = $1 AND e.kind = 'user' AND ($2::text[] IS NULL OR e.id = ANY($2::text[]))
"""
GROUPS = """
SELECT g.id, g.name, g.description, e.gone
  FROM identity.directory_entry e JOIN identity."group" g ON g.id = e.id
 WHERE e.domain_id = $1 AND e.kind = 'group' AND ($2::text[] IS NULL OR e.id = ANY($2::text[]))
"""
# Whoever has a name that one of these wants: somebody of ours, or one that the directory has no more.
USER_NAMES = """
SELECT u.name, u.id, e.id IS NOT NULL AND e.gone AS aside
  FROM identity."user" u LEFT JOIN identity.directory_entry e ON e.id = u.id
 WHERE u.domain_id = $1 AND u.name = ANY($2::text[]) AND u.id <> ALL($3::text[])
"""
GROUP_NAMES = USER_NAMES.replace('"user" u', '"group" u')
USER_ASIDE = """UPDATE identity."user" SET name = id WHERE id = ANY($1::text[])"""
GROUP_ASIDE = """UPDATE identity."group" SET name = id WHERE id = ANY($1::text[])"""
USER_PUT = """
INSERT INTO identity."user" (id, domain_id, name, enabled, default_project_id, extra, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (id) DO UPDATE
   SET name = EXCLUDED.name, enabled = EXCLUDED.enabled, default_project_id = EXCLUDED.default_project_id,
       extra = EXCLUDED.extra
"""
GROUP_PUT = """
INSERT INTO identity."group" (id, domain_id, name, description, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, description = EXCLUDED.description
"""
ENTRY_PUT = """
INSERT INTO identity.directory_entry (id, domain_id, kind, local_id, checked_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET gone = false, checked_at = EXCLUDED.checked_at
"""
GONE = "UPDATE identity.directory_entry SET gone = true, checked_at = $2 WHERE id = ANY($1::text[]) AND NOT gone"
USER_OFF = """UPDATE identity."user" SET enabled = false WHERE id = ANY($1::text[])"""
USED = """
UPDATE identity.directory_entry SET used_at = $2::timestamptz
 WHERE id = $1 AND (used_at IS NULL OR used_at < $2::timestamptz - interval '1 minute')
RETURNING id
"""
MINE = """
SELECT m.group_id FROM identity.membership m JOIN identity.directory_entry e ON e.id = m.group_id
 WHERE m.user_id = $1 AND e.domain_id = $2
"""
MEMBERS = """
SELECT m.user_id FROM identity.membership m JOIN identity.directory_entry e ON e.id = m.user_id
 WHERE m.group_id = $1 AND e.domain_id = $2
"""
JOIN = "INSERT INTO identity.membership (user_id, group_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"
LEAVE = "DELETE FROM identity.membership WHERE user_id = $1 AND group_id = $2"


def public_id(domain_id: str, kind: str, local_id: str) -> str:
    """The id by which the API knows an entry of a domain's directory: Keystone's own, so that a cloud that moves here
    keeps its ids."""
    return hashlib.sha256(f"{domain_id}{kind}{local_id}".encode()).hexdigest()


async def users_mirror(tx: Tx, domain_id: str, people: Sequence[Person], *, whole: bool = False) -> None:
    """Bring the rows of `people` up to date; with `whole`, those are all that the directory has.

    Who was disabled there, or is no more, loses its tokens.
    """
    await tx.lock("directory", domain_id)
    wanted = {public_id(domain_id, "user", one.local_id): one for one in people}
    known = {row["id"]: row for row in await tx.fetch(USERS, domain_id, None if whole else list(wanted))}
    changed = {
        user_id: one
        for user_id, one in wanted.items()
        if user_id not in known or known[user_id]["gone"] or _of_user(known[user_id]) != _of_person(one)
    }
    changed = await _named(tx, domain_id, changed, known, USER_NAMES, USER_ASIDE)
    now = clock.now()
    await tx.executemany(USER_PUT, [(user_id, domain_id, *_of_person(one), now) for user_id, one in changed.items()])
    await tx.executemany(ENTRY_PUT, [(key, domain_id, "user", one.local_id, now) for key, one in changed.items()])
    for user_id, one in changed.items():
        if user_id in known:
            tx.publish(UserUpdated(user_id=user_id, enabled=one.enabled, changed=["directory"]), project_id="")
        else:
            tx.publish(UserCreated(user_id=user_id, domain_id=domain_id, name=one.name), project_id="")
    off = [key for key, one in changed.items() if not one.enabled and key in known and known[key]["enabled"]]
    if whole:
        off += await _set_aside(tx, [key for key, row in known.items() if key not in wanted and not row["gone"]])
    await revoke(tx, *({"user_id": user_id} for user_id in off))


async def users_gone(tx: Tx, domain_id: str, user_ids: Sequence[str]) -> None:
    """The directory has these no more: nobody logs in as them, and their tokens are revoked."""
    await tx.lock("directory", domain_id)
    rows = await tx.fetch(USERS, domain_id, list(user_ids))
    gone = await _set_aside(tx, [row["id"] for row in rows if not row["gone"]])
    await revoke(tx, *({"user_id": user_id} for user_id in gone))


async def _set_aside(tx: Tx, user_ids: list[str]) -> list[str]:
    if user_ids:
        await tx.execute(GONE, user_ids, clock.now())
        await tx.execute(USER_OFF, user_ids)
    for user_id in user_ids:
        tx.publish(UserUpdated(user_id=user_id, enabled=False, changed=["directory"]), project_id="")
    return user_ids


async def groups_mirror(tx: Tx, domain_id: str, teams: Sequence[Team], *, whole: bool = False) -> None:
    """Bring the rows of `teams` up to date; with `whole`, those are all that the directory has."""
    await tx.lock("directory", domain_id)
    wanted = {public_id(domain_id, "group", one.local_id): one for one in teams}
    known = {row["id"]: row for row in await tx.fetch(GROUPS, domain_id, None if whole else list(wanted))}
    changed = {
        group_id: one
        for group_id, one in wanted.items()
        if group_id not in known
        or known[group_id]["gone"]
        or (known[group_id]["name"], known[group_id]["description"]) != (one.name, one.description)
    }
    changed = await _named(tx, domain_id, changed, known, GROUP_NAMES, GROUP_ASIDE)
    now = clock.now()
    rows = [(group_id, domain_id, one.name, one.description, now) for group_id, one in changed.items()]
    await tx.executemany(GROUP_PUT, rows)
    await tx.executemany(ENTRY_PUT, [(key, domain_id, "group", one.local_id, now) for key, one in changed.items()])
    for group_id, one in changed.items():
        if group_id in known:
            tx.publish(GroupUpdated(group_id=group_id), project_id="")
        else:
            tx.publish(GroupCreated(group_id=group_id, domain_id=domain_id, name=one.name), project_id="")
    if whole:
        await groups_gone(tx, domain_id, [key for key, row in known.items() if key not in wanted and not row["gone"]])


async def groups_gone(tx: Tx, domain_id: str, group_ids: Sequence[str]) -> None:
    """The directory has these no more: nobody is in them."""
    for group_id in group_ids:
        await _members(tx, domain_id, group_id, set())
        tx.publish(GroupUpdated(group_id=group_id), project_id="")
    if group_ids:
        await tx.execute(GONE, list(group_ids), clock.now())


async def user_groups_mirror(tx: Tx, domain_id: str, user_id: str, group_ids: Iterable[str]) -> None:
    """Let a user be in these groups of its directory, and in no others of it. What it loses, its tokens lose."""
    before, after = {row["group_id"] for row in await tx.fetch(MINE, user_id, domain_id)}, set(group_ids)
    for group_id in sorted(after - before):
        await _join(tx, user_id, group_id)
    for group_id in sorted(before - after):
        await _leave(tx, user_id, group_id)
    if before - after:
        await revoke(tx, {"user_id": user_id})


async def group_users_mirror(tx: Tx, domain_id: str, group_id: str, user_ids: Iterable[str]) -> None:
    """Let a group have these members, and no others of its directory."""
    await _members(tx, domain_id, group_id, set(user_ids))


async def _members(tx: Tx, domain_id: str, group_id: str, after: set[str]) -> None:
    before = {row["user_id"] for row in await tx.fetch(MEMBERS, group_id, domain_id)}
    for user_id in sorted(after - before):
        await _join(tx, user_id, group_id)
    for user_id in sorted(before - after):
        await _leave(tx, user_id, group_id)
    await revoke(tx, *({"user_id": user_id} for user_id in sorted(before - after)))


async def _join(tx: Tx, user_id: str, group_id: str) -> None:
    await tx.execute(JOIN, user_id, group_id)
    tx.publish(GroupMemberAdded(group_id=group_id, user_id=user_id), project_id="")


async def _leave(tx: Tx, user_id: str, group_id: str) -> None:
    await tx.execute(LEAVE, user_id, group_id)
    tx.publish(GroupMemberRemoved(group_id=group_id, user_id=user_id), project_id="")


async def entry_used(db: Any, user_id: str) -> None:
    """Note that somebody logged in as this user, once a minute at most."""
    await db.fetchval(USED, user_id, clock.now())


async def users_known(tx: Tx, domain_id: str, local_ids: Iterable[str]) -> list[str]:
    """The ids of those of these users that have a row: one whose name somebody else has, has none."""
    ids = [public_id(domain_id, "user", one) for one in local_ids]
    return [row["id"] for row in await tx.fetch(USERS, domain_id, ids) if not row["gone"]]


async def groups_known(tx: Tx, domain_id: str, local_ids: Iterable[str]) -> list[str]:
    """The ids of those of these groups that have a row."""
    ids = [public_id(domain_id, "group", one) for one in local_ids]
    return [row["id"] for row in await tx.fetch(GROUPS, domain_id, ids) if not row["gone"]]


# --- what is compared and written


def _of_person(one: Person) -> tuple[str, bool, str | None, dict[str, Any]]:
    extra = {"email": one.email, "description": one.description, **one.more}
    return one.name, one.enabled, one.default_project_id, {key: value for key, value in extra.items() if value}


def _of_user(row: Row) -> tuple[str, bool, str | None, dict[str, Any]]:
    return row["name"], row["enabled"], row["default_project_id"], dict(row["extra"])


async def _named(
    tx: Tx, domain_id: str, changed: dict[str, Any], known: Mapping[str, Row], names_sql: str, aside_sql: str
) -> dict[str, Any]:
    """`changed` without those whose name somebody else has; the names of the others are made free.

    Two of one name can be told apart by nobody: the first by its id stays.
    """
    renamed = {key: one for key, one in changed.items() if key not in known or known[key]["name"] != one.name}
    if not renamed:
        return changed
    held = await tx.fetch(names_sql, domain_id, [one.name for one in renamed.values()], list(renamed))
    taken = {row["name"] for row in held if not row["aside"]}
    left: dict[str, Any] = {}
    for key, one in sorted(changed.items()):
        if key in renamed and one.name in taken:
            log.warning("directory_name_taken", domain_id=domain_id, id=key)
            continue
        if key in renamed:
            taken.add(one.name)
        left[key] = one
    aside = [row["id"] for row in held if row["aside"]] + [key for key in renamed if key in known and key in left]
    if aside:
        await tx.execute(aside_sql, aside)
    return left

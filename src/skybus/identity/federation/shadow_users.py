"""The users of ours that stand for those of identity providers: made at the first login, brought up to date at each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import asyncpg
import structlog

from skybus import clock
from skybus.errors import Unauthorized, Unavailable
from skybus.identity.auth.revocations import revoke
from skybus.identity.federation.mapping_rules import Mapped
from skybus.identity.projects import projects
from skybus.identity.roles import roles
from skybus.identity.roles.assignments import Grant, grant_exists, grant_insert
from skybus.messages.identity import UserCreated, UserUpdated
from skybus.messages.identity_federation import FederatedUserMapped
from skybus.store import Tx

log = structlog.get_logger()

LINKED = """
SELECT f.user_id, u.name, u.domain_id, u.extra
  FROM identity.federated_user f JOIN identity."user" u ON u.id = f.user_id
 WHERE f.identity_provider_id = $1 AND f.protocol_id = $2 AND f.unique_id = $3
   FOR UPDATE OF u
"""
LINK = """
INSERT INTO identity.federated_user (identity_provider_id, protocol_id, unique_id, user_id) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
"""
EXISTING = """SELECT id AS user_id, name, domain_id, extra FROM identity."user" WHERE id = $1 FOR UPDATE"""
INSERT = """
INSERT INTO identity."user" (id, domain_id, name, enabled, extra, created_at) VALUES ($1, $2, $3, true, $4, $5)
"""
RENAME = """UPDATE identity."user" SET name = $2, extra = $3 WHERE id = $1"""
NAME_TAKEN = """SELECT EXISTS (SELECT 1 FROM identity."user" WHERE domain_id = $1 AND name = $2 AND id <> $3)"""
GROUPS = """SELECT id FROM identity."group" WHERE id = ANY($1::text[]) FOR KEY SHARE"""
GROUP_NAMED = """SELECT id FROM identity."group" WHERE domain_id = $1 AND name = $2 FOR KEY SHARE"""
MEMBERSHIPS = """
SELECT group_id FROM identity.expiring_membership
 WHERE user_id = $1 AND identity_provider_id = $2 AND expires_at > now()
"""
LEAVE = """
DELETE FROM identity.expiring_membership
 WHERE user_id = $1 AND identity_provider_id = $2 AND NOT (group_id = ANY($3::text[]))
"""
ENTER = """
INSERT INTO identity.expiring_membership (user_id, group_id, identity_provider_id, expires_at)
SELECT $1, unnest($3::text[]), $2, $4
ON CONFLICT (user_id, group_id, identity_provider_id) DO UPDATE SET expires_at = EXCLUDED.expires_at
"""
NO_USER = "Could not map user while setting ephemeral user identity."
LONGEST = 255
Row = Any


async def shadow_enter(
    tx: Tx, provider: Row, protocol_id: str, mapped: Mapped, fallback_name: str, seconds: int
) -> str:
    """The id of the user for whom `provider` (its row, held) vouches, with the groups and projects that go with it.

    Memberships last `seconds`, or the provider's authorization_ttl where that is more. Raises Unauthorized when the
    mapping names nobody, or what does not exist here.
    """
    domain_id = await _domain_id(tx, mapped.user.get("domain"), provider["domain_id"])
    group_ids = await _group_ids(tx, mapped)
    user_id = await _user(tx, provider["id"], protocol_id, mapped.user, domain_id, fallback_name)
    await _join(tx, user_id, provider, protocol_id, group_ids, seconds)
    await _give_projects(tx, user_id, mapped.projects, provider["domain_id"])
    return user_id


def shadow_id(provider_id: str, domain_id: str, unique_id: str) -> str:
    """The id of a federated user: the same at every login, and another one for every provider."""
    return hashlib.sha256("\x00".join((domain_id, provider_id, unique_id)).encode()).hexdigest()


async def _user(
    tx: Tx, provider_id: str, protocol_id: str, asked: Mapping[str, Any], domain_id: str, fallback_name: str
) -> str:
    name = asked.get("name") or fallback_name or asked.get("id")
    unique_id = quote(asked.get("id") or name or "")
    if not name or not unique_id or len(name) > LONGEST or len(unique_id) > LONGEST:
        raise Unauthorized(NO_USER)
    row = await tx.fetchrow(LINKED, provider_id, protocol_id, unique_id)
    if row is None:
        user_id = shadow_id(provider_id, domain_id, unique_id)
        # Two first logins of one person at a time: the second waits here, and finds what the first made.
        await tx.lock("federated-user", user_id)
        row = await tx.fetchrow(EXISTING, user_id)
        if row is None:
            await _insert(tx, user_id, domain_id, await _free_name(tx, domain_id, name, user_id, provider_id), asked)
        await tx.execute(LINK, provider_id, protocol_id, unique_id, user_id)
        if row is None:
            return user_id
    own_id = shadow_id(provider_id, row["domain_id"], unique_id)
    await _update(tx, row, own_id, name, provider_id, asked)
    return str(row["user_id"])


async def _insert(tx: Tx, user_id: str, domain_id: str, name: str, asked: Mapping[str, Any]) -> None:
    extra = {"email": asked["email"]} if asked.get("email") else {}
    with _names_free():
        await tx.execute(INSERT, user_id, domain_id, name, extra, clock.now())
    tx.publish(UserCreated(user_id=user_id, domain_id=domain_id, name=name), project_id="")


async def _update(tx: Tx, row: Row, own_id: str, name: str, provider_id: str, asked: Mapping[str, Any]) -> None:
    user_id, extra = row["user_id"], dict(row["extra"])
    if user_id != own_id:
        # One of ours, whom an administrator linked: the provider has no say in what it is called.
        return
    if asked.get("email"):
        extra["email"] = asked["email"]
    if row["name"] != name:
        name = await _free_name(tx, row["domain_id"], name, user_id, provider_id)
    changed = [key for key, old, new in (("email", row["extra"], extra), ("name", row["name"], name)) if old != new]
    if changed:
        with _names_free():
            await tx.execute(RENAME, user_id, name, extra)
        tx.publish(UserUpdated(user_id=user_id, enabled=True, changed=changed), project_id="")


@contextmanager
def _names_free() -> Iterator[None]:
    """Raises Unavailable when somebody took the name since we looked."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise Unavailable("Another user took the name in the same moment. Please try again.") from error


async def _free_name(tx: Tx, domain_id: str, name: str, user_id: str, provider_id: str) -> str:
    """`name`, or where somebody else in the domain has it, one that says whence this one comes."""
    for wanted in (name, f"{name}@{provider_id}"[:LONGEST]):
        if not await tx.fetchval(NAME_TAKEN, domain_id, wanted, user_id):
            return wanted
    return user_id


# --- domains, groups, projects


async def _domain_id(tx: Tx, asked: Mapping[str, str] | None, default: str) -> str:
    """The id of an enabled domain. Raises Unauthorized."""
    if not asked:
        row = await projects.project_find(tx, default)
    elif "id" in asked:
        row = await projects.project_find(tx, asked["id"])
    else:
        row = await projects.domain_by_name(tx, asked.get("name", ""))
    if row is None or not row["is_domain"] or not row["enabled"]:
        raise Unauthorized("The mapping names a domain that is not there or disabled.")
    return str(row["id"])


async def _group_ids(tx: Tx, mapped: Mapped) -> list[str]:
    """The groups that the mapping names. A name that no group has is passed over, as in Keystone; an id is not."""
    found = [row["id"] for row in await tx.fetch(GROUPS, list(mapped.group_ids))]
    if len(found) < len(set(mapped.group_ids)):
        raise Unauthorized("The mapping names a group that does not exist.")
    for name, domain in mapped.group_names:
        group_id = await tx.fetchval(GROUP_NAMED, await _domain_id(tx, domain, ""), name)
        if group_id is None:
            log.debug("mapped_group_unknown", name=name)
        else:
            found.append(group_id)
    return sorted(set(found))


async def _join(tx: Tx, user_id: str, provider: Row, protocol_id: str, group_ids: Sequence[str], seconds: int) -> None:
    """Be in these groups of the provider's choice, and no longer in others. Tokens that had more are revoked."""
    before = {row["group_id"] for row in await tx.fetch(MEMBERSHIPS, user_id, provider["id"])}
    lasting = max(seconds, 60 * (provider["authorization_ttl"] or 0))
    await tx.execute(LEAVE, user_id, provider["id"], group_ids)
    await tx.execute(ENTER, user_id, provider["id"], group_ids, clock.now() + timedelta(seconds=lasting))
    if before == set(group_ids):
        return
    event = FederatedUserMapped(
        user_id=user_id, identity_provider_id=provider["id"], protocol_id=protocol_id, group_ids=list(group_ids)
    )
    tx.publish(event, project_id="")
    if before - set(group_ids):
        await revoke(tx, {"user_id": user_id})


async def _give_projects(tx: Tx, user_id: str, asked: Iterable[Mapping[str, Any]], default_domain: str) -> None:
    """Make the projects that are not there, and give the user its roles on them. Raises Unauthorized for a role that
    does not exist, before anything is made."""
    wanted = [(project, await _roles(tx, project["roles"])) for project in asked]
    for project, role_ids in wanted:
        domain_id = await _domain_id(tx, project.get("domain"), default_domain)
        await tx.lock("federated-project", domain_id, project["name"])
        row = await projects.project_by_name(tx, domain_id, project["name"])
        if row is None:
            row = await projects.project_insert(tx, {"name": project["name"], "domain_id": domain_id}, domain_id)
        for role_id in role_ids:
            grant = Grant(role_id=role_id, user_id=user_id, target_id=row["id"])
            if not await grant_exists(tx, grant):
                await grant_insert(tx, grant)


async def _roles(tx: Tx, asked: Iterable[Mapping[str, str]]) -> list[str]:
    found = []
    for one in asked:
        row = await roles.role_by_name(tx, one["name"])
        if row is None:
            raise Unauthorized("The mapping names a role that does not exist.")
        found.append(row["id"])
    return found

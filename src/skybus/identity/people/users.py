"""Users: their rows and their passwords."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import asyncpg

from skybus import clock
from skybus.config import SecurityCompliance
from skybus.errors import BadRequest, Conflict
from skybus.http.times import micros_z
from skybus.identity.auth.revocations import revoke
from skybus.identity.login.login_failures import failures_forget
from skybus.identity.login.password_rows import password_insert, password_set
from skybus.identity.login.password_rules import NO_RULES, expiry_of_new, inactive
from skybus.identity.people.user_options import merged
from skybus.identity.projects.projects import domain_hold
from skybus.identity.rows import extra_of, missing
from skybus.ids import new_hex_id
from skybus.messages.identity import UserCreated, UserDeleted, UserUpdated
from skybus.store import Tx

COLUMNS = (
    "u.id, u.domain_id, u.name, u.enabled, u.default_project_id, u.options, u.extra, u.created_at, u.last_active_at"
)
NEWEST = """
LEFT JOIN LATERAL (
    SELECT hash, created_at, expires_at, self_service
      FROM identity.password WHERE user_id = u.id ORDER BY id DESC LIMIT 1
) w ON true
"""
LIST = f"""SELECT {COLUMNS}, w.expires_at AS password_expires_at FROM identity."user" u {NEWEST}"""
GET = f"{LIST} WHERE u.id = $1"
LOCK = f"{LIST} WHERE u.id = $1 FOR UPDATE OF u"
HOLD = f"{LIST} WHERE u.id = $1 FOR KEY SHARE OF u"
INSERT = """
INSERT INTO identity."user" (id, domain_id, name, enabled, default_project_id, options, extra, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING
RETURNING id
"""
UPDATE = """
UPDATE identity."user" SET name = $2, enabled = $3, default_project_id = $4, options = $5, extra = $6 WHERE id = $1
"""
DELETE = """DELETE FROM identity."user" WHERE id = $1"""
IS_DOMAIN = "SELECT is_domain FROM identity.project WHERE id = $1"
ACTIVE = """UPDATE identity."user" SET last_active_at = $2 WHERE id = $1 AND last_active_at IS DISTINCT FROM $2"""

# All that a login must know of a user, in one look.
LOGIN = f"""
SELECT {COLUMNS}, w.hash, w.expires_at AS password_expires_at, w.created_at AS password_created_at,
       COALESCE(w.self_service, false) AS password_self_service, d.enabled AS domain_enabled
  FROM identity."user" u JOIN identity.project d ON d.id = u.domain_id {NEWEST}
"""
LOGIN_BY_ID = f"{LOGIN} WHERE u.id = $1"
LOGIN_BY_NAME = f"{LOGIN} WHERE d.id = $1 AND u.name = $2"
LOGIN_BY_NAMES = f"{LOGIN} WHERE d.name = $1 AND d.is_domain AND u.name = $2"

KNOWN = frozenset(("id", "domain_id", "name", "enabled", "default_project_id", "options", "password"))
PRIVATE = frozenset(("links", "original_password", "password_expires_at", "federated", "hash"))
Row = Any


async def user_find(db: Any, user_id: str) -> Row | None:
    """The user, or None."""
    return await db.fetchrow(GET, user_id)


async def user_get(db: Any, user_id: str) -> Row:
    """The user. Raises NotFound."""
    row = await db.fetchrow(GET, user_id)
    if row is None:
        raise missing("user", user_id)
    return row


async def user_asked(db: Any, asked: Mapping[str, Any]) -> Row | None:
    """All that a login must know of the user whom a request names, by id or by name and domain; None when there is no
    such user. Raises BadRequest when it names nobody."""
    if asked.get("id") is not None:
        return await db.fetchrow(LOGIN_BY_ID, asked["id"])
    domain = asked.get("domain") or {}
    name = asked.get("name")
    if name is None or (domain.get("id") is None and domain.get("name") is None):
        raise BadRequest("Expecting to find domain in user. The server could not comply with the request.")
    if domain.get("id") is not None:
        return await db.fetchrow(LOGIN_BY_NAME, domain["id"], name)
    return await db.fetchrow(LOGIN_BY_NAMES, domain["name"], name)


async def user_hold(tx: Tx, user_id: str) -> Row:
    """The user, who cannot be deleted before `tx` ends. Raises NotFound."""
    row = await tx.fetchrow(HOLD, user_id)
    if row is None:
        raise missing("user", user_id)
    return row


async def user_insert(
    tx: Tx,
    asked: dict[str, Any],
    domain_id: str,
    password_hash: str | None,
    rules: SecurityCompliance = NO_RULES,
) -> Row:
    """Make a user from a request's attributes. Raises NotFound, BadRequest or Conflict."""
    await domain_hold(tx, domain_id)
    await _refuse_domain_as_project(tx, asked)
    options = merged({}, asked.get("options", {}))
    user_id = await tx.fetchval(
        INSERT,
        new_hex_id(),
        domain_id,
        asked["name"],
        asked.get("enabled", True),
        asked.get("default_project_id"),
        options,
        extra_of(asked, KNOWN | PRIVATE),
        clock.now(),
    )
    if user_id is None:
        raise Conflict(f"Conflict occurred attempting to store user - the name {asked['name']} is in use.")
    if password_hash is not None:
        ends = expiry_of_new(rules, options, clock.now(), self_service=False)
        await password_insert(tx, user_id, password_hash, rules, ends)
    tx.publish(UserCreated(user_id=user_id, domain_id=domain_id, name=asked["name"]), project_id="")
    return await user_get(tx, user_id)


async def user_update(
    tx: Tx,
    user_id: str,
    asked: dict[str, Any],
    password_hash: str | None,
    by_user_id: str = "",
    rules: SecurityCompliance = NO_RULES,
) -> Row:
    """Change a user. Disabling, and a new password, revoke the user's tokens; enabling unlocks.

    Raises NotFound, BadRequest, Conflict.
    """
    old = await tx.fetchrow(LOCK, user_id)
    if old is None:
        raise missing("user", user_id)
    if "domain_id" in asked and asked["domain_id"] != old["domain_id"]:
        raise BadRequest("The domain of a user cannot be changed.")
    if asked.get("id", user_id) != user_id:
        raise BadRequest("Cannot change user ID")
    await _refuse_domain_as_project(tx, asked)
    enabled = asked.get("enabled", old["enabled"])
    options = merged(old["options"], asked.get("options", {}))
    try:
        await tx.execute(
            UPDATE,
            user_id,
            asked.get("name", old["name"]),
            enabled,
            asked.get("default_project_id", old["default_project_id"]),
            options,
            extra_of(asked, KNOWN | PRIVATE, old["extra"]),
        )
    except asyncpg.UniqueViolationError:
        raise Conflict("Conflict occurred attempting to store user - the name is in use.") from None
    changed = sorted(name for name in asked if name != "password")
    tx.publish(UserUpdated(user_id=user_id, enabled=enabled, changed=changed), project_id="")
    if asked.get("enabled"):
        await failures_forget(tx, user_id)
        await user_seen(tx, user_id, rules)
    if "password" in asked or password_hash is not None:
        ends = expiry_of_new(rules, options, clock.now(), self_service=False)
        await password_set(tx, user_id, password_hash, by_user_id, rules, ends)
    elif old["enabled"] and not enabled:
        await revoke(tx, {"user_id": user_id})
    return await user_get(tx, user_id)


async def _refuse_domain_as_project(tx: Tx, asked: Mapping[str, Any]) -> None:
    project_id = asked.get("default_project_id")
    if project_id is not None and await tx.fetchval(IS_DOMAIN, project_id):
        raise BadRequest(f"User's default project ID cannot be a domain ID: {project_id}")


async def user_seen(db: Any, user_id: str, rules: SecurityCompliance, last: date | None = None) -> None:
    """Note that the user was here today, where somebody asks for it; it was known to be here on the day `last`."""
    today = clock.now().date()
    if rules.disable_user_account_days_inactive is not None and last != today:
        await db.fetchval(ACTIVE, user_id, today)


async def user_delete(tx: Tx, user_id: str) -> None:
    """Delete a user and revoke its tokens. Raises NotFound."""
    if await tx.execute(DELETE, user_id) != "DELETE 1":
        raise missing("user", user_id)
    tx.publish(UserDeleted(user_id=user_id), project_id="")
    await revoke(tx, {"user_id": user_id})


def user_view(row: Row, base: str, rules: SecurityCompliance = NO_RULES) -> dict[str, Any]:
    """A user as the API shows it: disabled, too, when it has been away for too long."""
    view = {
        **row["extra"],
        "id": row["id"],
        "name": row["name"],
        "domain_id": row["domain_id"],
        "enabled": row["enabled"] and not inactive(rules, row, clock.now()),
        "options": row["options"],
        "password_expires_at": micros_z(row["password_expires_at"]),
        "links": {"self": f"{base}/users/{row['id']}"},
    }
    if row["default_project_id"] is not None:
        view["default_project_id"] = row["default_project_id"]
    return view

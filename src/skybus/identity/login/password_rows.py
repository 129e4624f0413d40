"""The table of passwords: the newest row of a user is in force, the others are its history."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from skybus import clock
from skybus.config import SecurityCompliance
from skybus.identity.auth.revocations import revoke
from skybus.messages.identity import UserPasswordChanged
from skybus.store import Tx

INSERT = """
INSERT INTO identity.password (user_id, hash, created_at, expires_at, self_service) VALUES ($1, $2, $3, $4, $5)
"""
HISTORY = "SELECT hash FROM identity.password WHERE user_id = $1 ORDER BY id DESC LIMIT $2"
# What no rule can ask for any more is not kept.
FORGET = """
DELETE FROM identity.password
 WHERE user_id = $1
   AND id NOT IN (SELECT id FROM identity.password WHERE user_id = $1 ORDER BY id DESC LIMIT $2)
"""
FORGET_ALL = "DELETE FROM identity.password WHERE user_id = $1"


async def password_insert(
    tx: Tx,
    user_id: str,
    password_hash: str,
    rules: SecurityCompliance,
    expires_at: datetime | None,
    *,
    self_service: bool = False,
) -> None:
    """Write a user's password, and forget those that are older than the history that is wanted."""
    await tx.execute(INSERT, user_id, password_hash, clock.now(), expires_at, self_service)
    await tx.execute(FORGET, user_id, max(rules.unique_last_password_count, 1))


async def password_set(
    tx: Tx,
    user_id: str,
    password_hash: str | None,
    by_user_id: str,
    rules: SecurityCompliance,
    expires_at: datetime | None,
    *,
    self_service: bool = False,
) -> None:
    """Give a user another password, or none, and revoke the user's tokens."""
    if password_hash is None:
        await tx.execute(FORGET_ALL, user_id)
    else:
        await password_insert(tx, user_id, password_hash, rules, expires_at, self_service=self_service)
    tx.publish(UserPasswordChanged(user_id=user_id, by_user_id=by_user_id), project_id="")
    await revoke(tx, {"user_id": user_id})


async def password_history(db: Any, user_id: str, count: int) -> list[str]:
    """The hashes of the user's last `count` passwords, the newest first."""
    return [row["hash"] for row in await db.fetch(HISTORY, user_id, count)]

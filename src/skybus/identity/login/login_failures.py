"""Attempts to log in that failed, counted in the database: for all gateway processes together.

A refusal writes one row whoever was named, so that neither its answer nor its time tells whether there is such a user,
or whether the user is locked.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from skybus import clock
from skybus.config import SecurityCompliance
from skybus.identity.people.user_options import IGNORE_LOCKOUT, is_set
from skybus.messages.identity import UserLocked

NOBODIES = 64
"""Rows that stand for users that do not exist; several, so that a flood of attempts does not queue for one."""
PASSCODE_FAILURES = 10
"""Wrong passcodes after which a user's passcodes are not looked at for a while, whatever the settings: a passcode has
only six digits."""
PASSCODE_SECONDS = 300

LOOK = "SELECT count, failed_at FROM identity.login_failure WHERE who = $1 AND method = $2"
# While a lock holds it is not prolonged; after it, counting begins anew.
COUNT = """
INSERT INTO identity.login_failure AS f (who, method, user_id, count, failed_at) VALUES ($1, $2, $3, 1, $4)
ON CONFLICT (who, method) DO UPDATE SET
    count = CASE WHEN f.count < $5 THEN f.count + 1 WHEN f.failed_at <= $6 THEN 1 ELSE f.count END,
    failed_at = CASE WHEN f.count >= $5 AND f.failed_at > $6 THEN f.failed_at ELSE $4 END
RETURNING count, failed_at
"""
CLEAR = "DELETE FROM identity.login_failure WHERE who = $1 AND method = $2"
CLEAR_ALL = "DELETE FROM identity.login_failure WHERE who = $1"


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """After how many failures of a method a user is locked out of it, and for how long."""

    method: str
    attempts: int
    seconds: int
    """0 is for ever."""
    waivable: bool = False
    """Whether the option ignore_lockout_failure_attempts exempts a user."""

    def locked_since(self, now: datetime) -> datetime:
        """A lock that began later than this still holds."""
        return now - timedelta(seconds=self.seconds) if self.seconds else datetime.min.replace(tzinfo=now.tzinfo)


def password_limit(rules: SecurityCompliance) -> Limit | None:
    """The limit that the operator set for passwords, or None."""
    if rules.lockout_failure_attempts is None:
        return None
    return Limit(
        method="password", attempts=rules.lockout_failure_attempts, seconds=rules.lockout_duration, waivable=True
    )


def passcode_limit(rules: SecurityCompliance) -> Limit:
    """The limit of passcodes: the operator's where that is stricter."""
    attempts = min(rules.lockout_failure_attempts or PASSCODE_FAILURES, PASSCODE_FAILURES)
    return Limit(method="totp", attempts=attempts, seconds=PASSCODE_SECONDS)


async def attempt_settle(store: Any, limit: Limit, user: Any | None, *, right: bool) -> bool:
    """Whether an attempt whose secret was `right` opens anything: not while the user is locked.

    Called after the secret was checked, so that of many attempts at once none slips past the lock that another of them
    has just brought about. Success ends the counting.
    """
    who = user["id"] if user is not None else f"nobody-{secrets.randbelow(NOBODIES)}"
    row = await store.fetchrow(LOOK, who, limit.method)
    now = clock.now()
    locked = row is not None and row["count"] >= limit.attempts and row["failed_at"] > limit.locked_since(now)
    free = limit.waivable and user is not None and is_set(user["options"], IGNORE_LOCKOUT)
    if right and user is not None and (free or not locked):
        if row is not None:
            await store.fetchval(CLEAR, who, limit.method)
        return True
    # A right secret on a locked user changes no count, but takes its time.
    counted = who if not right or user is None else f"nobody-{secrets.randbelow(NOBODIES)}"
    await _count(store, limit, counted, user if counted == who else None, now)
    return False


async def _count(store: Any, limit: Limit, who: str, user: Any | None, now: datetime) -> None:
    user_id = user["id"] if user is not None else None
    try:
        row = await store.fetchrow(COUNT, who, limit.method, user_id, now, limit.attempts, limit.locked_since(now))
    except asyncpg.ForeignKeyViolationError:
        return  # deleted in this moment
    if user is not None and row["count"] == limit.attempts and row["failed_at"] == now:
        async with store.transaction() as tx:
            tx.publish(UserLocked(user_id=user["id"], method=limit.method, seconds=limit.seconds), project_id="")


async def failures_forget(tx: Any, user_id: str) -> None:
    """Unlock a user."""
    await tx.execute(CLEAR_ALL, user_id)

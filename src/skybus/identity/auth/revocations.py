"""Tokens that died before their time: a table, and its picture in the memory of every gateway process.

A token carries the revision that was current, in the same snapshot, when its user and roles were read; a revocation
gets the next revision under a lock that it holds to its commit. So a token is dead when a matching revocation has a
higher revision: no clocks are compared, and a login that runs beside a revocation cannot slip through.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import msgspec
import structlog

from skybus import clock
from skybus.identity.auth.claims import Claims
from skybus.messages.identity import Revocation, TokensRevoked
from skybus.store import Tx

log = structlog.get_logger()

CHANNEL = "skybus_identity"
"""Notified by every transaction that revokes or changes identity: its commit wakes all gateway processes, whatever the
bus does."""

BUMP = """
UPDATE identity.revision SET revision = revision + 1 RETURNING revision, pg_notify('skybus_identity', '')
"""
REVISION = "SELECT revision FROM identity.revision"
FORGET = "DELETE FROM identity.revocation WHERE expires_at < $1"
INSERT = """
INSERT INTO identity.revocation
       (revision, audit_id, user_id, target, domain_id, role, delegation_id, expires_at, revoked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
LOAD = """
SELECT revision, audit_id, user_id, target, domain_id, role, delegation_id, expires_at
  FROM identity.revocation WHERE expires_at > $1 AND revision > $2
"""

KEEP = timedelta(days=4)
"""Longer than any token lives and can be looked at after its end (`allow_expired`), so that a longer token_seconds in
another process cannot outlive a revocation."""
MOST = 500_000
"""Revocations in memory, some 160 MB. Beyond that all tokens that are older than the newest of them die: who makes
revocations by the thousand may cost others a login, and no gateway its memory."""
FIELDS = ("audit_id", "user_id", "target", "domain_id", "role", "delegation_id")
_Key = tuple[str | None, ...]


async def revoke(tx: Tx, *matches: dict[str, str]) -> None:
    """Revoke all tokens that match one of `matches` (fields of Revocation), in this transaction.

    Call it after the change that it goes with: other revocations wait from here to the commit.
    """
    if not matches:
        return
    now = clock.now()
    revision = await tx.fetchval(BUMP)
    await tx.execute(FORGET, now)
    revocations = [Revocation(revision=revision, expires_at=now + KEEP, **match) for match in matches]
    rows = [(one.revision, *(getattr(one, name) for name in FIELDS), one.expires_at, now) for one in revocations]
    await tx.executemany(INSERT, rows)
    tx.publish(TokensRevoked(revocations=revocations), project_id="")


async def revocations_forget(tx: Tx) -> None:
    """Delete what no token that could still be believed is concerned by."""
    await tx.execute(FORGET, clock.now())


class Revocations:
    """Every revocation that can still matter, in memory; at most `most` of them are told apart."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self.generation = 0
        """Grows with every revocation that is learnt: what was checked at this generation needs no new check."""
        self._marks: dict[_Key, tuple[int, float]] = {}
        self._shapes: set[tuple[bool, ...]] = set()
        self.confirmed_at = float("-inf")
        """Monotonic time of the last look at the table: every revocation that had committed by then is known."""
        self._floor = 0
        """Every token of a lower revision is dead."""
        self._looked_up_to = 0
        self._pruned_at = clock.now().timestamp()

    def __len__(self) -> int:
        return len(self._marks)

    async def load(self, store: Any) -> None:
        """Learn what the table holds."""
        await self.catch_up(store)

    async def catch_up(self, db: Any) -> int:
        """Learn what the table has got since the last look; answer the revision that was current before it."""
        began = time.monotonic()
        revision = int(await db.fetchval(REVISION))
        await self.learn(db, revision, began)
        return revision

    async def learn(self, db: Any, revision: int, began: float) -> None:
        """Learn what the table has got up to `revision` and beyond, which was read after the monotonic time `began`."""
        if revision > self._looked_up_to:
            rows = await db.fetch(LOAD, clock.now(), self._looked_up_to)
            self.apply([Revocation(**dict(row)) for row in rows])
            self._looked_up_to = max(revision, self._looked_up_to)
        self.confirmed_at = max(began, self.confirmed_at)

    def apply(self, revocations: Iterable[Revocation]) -> None:
        """Learn these; the same one twice, or late, does no harm."""
        news = False
        for one in revocations:
            key = tuple(getattr(one, name) for name in FIELDS)
            before = self._marks.get(key, (0, 0.0))
            mark = max(before[0], one.revision), max(before[1], one.expires_at.timestamp())
            if mark != before:
                news, self._marks[key] = True, mark
                self._shapes.add(tuple(part is not None for part in key))
        # Every revocation comes twice, by its event and by a look: the second time nothing has to be checked again.
        self.generation += news
        self._prune()

    def apply_body(self, body: dict[str, Any]) -> None:
        """Learn what the body of a TokensRevoked event says."""
        self.apply(msgspec.convert(body, TokensRevoked).revocations)

    def covers(self, claims: Claims) -> bool:
        """Whether the token that says `claims` has been revoked."""
        # Those by which hosts read images have no revision, and no user whose rights could be lost.
        if claims.revision < self._floor and claims.image_id is None:
            return True
        return any(self._hit(key, claims.revision) for shape in self._shapes for key in _keys(claims, shape))

    def _hit(self, key: _Key, revision: int) -> bool:
        mark = self._marks.get(key)
        # One token is meant by its audit id, whatever its revision.
        return mark is not None and (key[0] is not None or mark[0] > revision)

    def _prune(self) -> None:
        now = clock.now().timestamp()
        if now - self._pruned_at > 60 or len(self._marks) > self.most:
            self._pruned_at = now
            self._marks = {key: mark for key, mark in self._marks.items() if mark[1] > now}
        if len(self._marks) > self.most:
            log.warning("revocations_too_many", count=len(self._marks))
            self._floor = max(revision for revision, _ in self._marks.values())
            self._marks.clear()
            self._shapes.clear()
            self.generation += 1


def _keys(claims: Claims, shape: tuple[bool, ...]) -> list[_Key]:
    """The marks of one shape (which fields are set) that would concern `claims`."""
    values: tuple[tuple[str | None, ...], ...] = (
        claims.audit_ids[:1],
        (claims.user_id, *claims.depends_on),
        (claims.target,),
        (claims.user_domain_id, claims.project_domain_id, claims.domain_id, *claims.depends_on),
        claims.roles,
        (claims.delegation.id if claims.delegation is not None else None, claims.credential_id),
    )
    keys: list[_Key] = [()]
    for wanted, choices in zip(shape, values, strict=True):
        options = [choice for choice in choices if choice is not None] if wanted else [None]
        keys = [(*key, option) for key in keys for option in options]
    return keys

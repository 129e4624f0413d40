"""Time-based one-time passcodes (RFC 6238), as every authenticator app makes them: SHA-1, six digits, 30 seconds."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable
from typing import Any

import asyncpg

STEP_SECONDS = 30
DIGITS = 6
LEAST_BYTES = 16
"""A shorter secret is not used: RFC 4226 demands 128 bits, and Keystone passes over it, too."""
MOST_SECRETS = 32
"""Of one user that are tried."""

# Only a later step than the last that was taken: of two attempts with one passcode, one finds its step taken.
TAKE = """
INSERT INTO identity.totp_step AS t (credential_id, user_id, step) VALUES ($1, $2, $3)
ON CONFLICT (credential_id) DO UPDATE SET step = EXCLUDED.step WHERE t.step < EXCLUDED.step
RETURNING step
"""
# A step that has left every window guards nothing any more; its secret may be gone.
FORGET = "DELETE FROM identity.totp_step WHERE user_id = $1 AND step < $2"


def secret_of(text: str) -> bytes | None:
    """The secret that a base32 text holds, with or without padding and spaces; None when it holds none."""
    letters = text.strip().replace(" ", "").rstrip("=").upper()
    try:
        secret = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except (binascii.Error, ValueError):
        return None
    return secret if len(secret) >= LEAST_BYTES else None


def passcode(secret: bytes, step: int) -> str:
    """The passcode of one step of time."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    start = digest[-1] & 0x0F
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def step_at(seconds: float) -> int:
    """The step at a time in seconds since 1970."""
    return int(seconds) // STEP_SECONDS


def step_shown(secrets: Iterable[tuple[str, str]], shown: str, now: int, previous: int) -> tuple[str, int] | None:
    """Which secret (of pairs of id and base32 text), at which step from `now` to `previous` before it, has the passcode
    `shown`; None when none has. Looks at all of them, wherever the right one stands."""
    found: tuple[str, int] | None = None
    given = shown.encode("utf-8", "surrogatepass")
    for identifier, text in list(secrets)[:MOST_SECRETS]:
        secret = secret_of(text)
        if secret is None:
            continue
        for step in range(now - previous, now + 1):
            if hmac.compare_digest(passcode(secret, step).encode(), given):
                found = identifier, step
    return found


async def step_take(store: Any, user_id: str, credential_id: str, step: int) -> bool:
    """Use a passcode up. False when it, or a later one of its secret, was used before."""
    try:
        taken = await store.fetchval(TAKE, credential_id, user_id, step)
        await store.fetchval(FORGET, user_id, step - 20)
    except asyncpg.ForeignKeyViolationError:
        return False  # its user was deleted in this moment
    return taken is not None

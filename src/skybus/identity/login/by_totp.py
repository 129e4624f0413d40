"""Authentication by a time-based one-time passcode, which is good once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skybus import clock
from skybus.errors import Unauthorized
from skybus.identity.auth.tokens import NO_ENTRY
from skybus.identity.credentials.credentials import TOTP, credentials_of_user
from skybus.identity.login.login_failures import attempt_settle, passcode_limit
from skybus.identity.login.proof import Proven, live
from skybus.identity.login.totp import step_at, step_shown, step_take
from skybus.identity.people.users import user_asked

if TYPE_CHECKING:
    from skybus.identity.login.login import Login


async def prove(login: Login, shown: Mapping[str, Any], revision: int) -> Proven:
    """Whose passcode it is."""
    asked = shown["user"]
    user = await user_asked(login.store, asked)
    able = user is not None and user["enabled"] and user["domain_enabled"]
    right = await _taken(login, user["id"] if user is not None else "", str(asked["passcode"]), able=able)
    limit = passcode_limit(login.compliance)
    if not await attempt_settle(login.store, limit, user if able or not right else None, right=right):
        raise Unauthorized(NO_ENTRY)
    return Proven(user=live(user, password=False), methods=("totp",), revision=revision)


async def _taken(login: Login, user_id: str, passcode: str, *, able: bool) -> bool:
    """Whether the passcode is the user's and was not used before; it is used now, unless the user may not act."""
    secrets = [
        (credential.id, credential.blob)
        for credential in await credentials_of_user(login.store, user_id, TOTP, login.credential_keys)
        # What a delegation made would let it in as its user, with all that the user may do.
        if credential.delegation_id is None
    ]
    now = step_at(clock.now().timestamp())
    found = step_shown(secrets, passcode, now, login.settings.totp_previous_windows)
    if found is None or not able:
        return False
    return await step_take(login.store, user_id, *found)

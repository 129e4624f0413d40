"""Authentication by application credential, named by its id, or by its name and its user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skybus import clock
from skybus.errors import Unauthorized
from skybus.identity.auth.tokens import NO_ENTRY
from skybus.identity.delegation import application_credentials as credentials
from skybus.identity.login.proof import Proven, live
from skybus.identity.people import users

if TYPE_CHECKING:
    from skybus.identity.login.login import Login


async def prove(login: Login, shown: Mapping[str, Any], revision: int) -> Proven:
    """Whose credential it is."""
    row = await _asked(login, shown)
    hashed = row["secret_hash"] if row is not None else None
    right = await credentials.secret_check(login.passwords, str(shown.get("secret", "")), hashed)
    if row is None or not right or (row["expires_at"] is not None and row["expires_at"] <= clock.now()):
        raise Unauthorized(NO_ENTRY)
    delegation = credentials.delegation_of(row)
    return Proven(
        user=live(await login.memory.reads.fetchrow(users.LOGIN_BY_ID, row["user_id"]), password=False),
        methods=("application_credential",),
        revision=revision,
        delegation=delegation,
        expires_at=delegation.expires_at,
    )


async def _asked(login: Login, shown: Mapping[str, Any]) -> Any:
    if shown.get("id") is not None:
        return await credentials.credential_find(login.memory.reads, shown["id"])
    user = await users.user_asked(login.memory.reads, shown.get("user") or {})
    if user is None:
        return None
    return await credentials.credential_by_name(login.memory.reads, user["id"], shown.get("name") or "")

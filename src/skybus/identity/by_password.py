"""Authentication by password."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skybus.identity.proof import Proven, live
from skybus.identity.users import user_asked

if TYPE_CHECKING:
    from skybus.identity.login import Login


async def prove(login: Login, shown: Mapping[str, Any], revision: int) -> Proven:
    """Whose password it is."""
    asked = shown["user"]
    user = await user_asked(login.store, asked)
    right = await login.passwords.check(asked.get("password") or "", user["hash"] if user is not None else None)
    return Proven(user=live(user if right else None), methods=("password",), revision=revision)

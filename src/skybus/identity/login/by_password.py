"""Authentication by password."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skybus import clock
from skybus.errors import Unauthorized
from skybus.identity.ldap import ldap_login
from skybus.identity.login.password_rules import expired
from skybus.identity.login.proof import Proven
from skybus.identity.people.users import user_asked

if TYPE_CHECKING:
    from skybus.identity.login.login import Login


async def prove(login: Login, shown: Mapping[str, Any], revision: int) -> Proven:
    """Whose password it is."""
    asked = shown["user"]
    elsewhere = await ldap_login.prove(login, asked)
    if elsewhere is not None:
        return elsewhere
    user = await login.check_password(await user_asked(login.store, asked), asked.get("password") or "")
    if expired(user, clock.now()):
        # Said to nobody but those who know the password, so that they go and change it.
        raise Unauthorized(f"The password is expired and needs to be changed for user: {user['id']}.")
    return Proven(user=user, methods=("password",), revision=revision)

"""Authentication by a token that one has: its line goes on, its end and its limits stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skybus.errors import NotFound, Unauthorized
from skybus.identity.delegation.delegation_lookup import delegation_find
from skybus.identity.login.proof import Proven, live
from skybus.identity.people import users

if TYPE_CHECKING:
    from skybus.identity.login.login import Login


async def prove(login: Login, shown: Mapping[str, Any], revision: int) -> Proven:
    """Whose token it is. Raises NotFound when it is good no more."""
    claims = login.tokens.subject(str(shown.get("id", "")))
    try:
        row = await login.memory.reads.fetchrow(users.LOGIN_BY_ID, claims.user_id)
        user = live(row, password="password" in claims.methods)
    except Unauthorized:
        raise NotFound("Could not find token.") from None
    delegation = None
    if claims.delegation is not None:
        delegation = await delegation_find(login.store, claims.delegation)
        if delegation is None:
            raise NotFound("Could not find token.")
    methods = claims.methods if "token" in claims.methods else (*claims.methods, "token")
    return Proven(
        user=user,
        methods=methods,
        revision=revision,
        parent=claims,
        delegation=delegation,
        federation=claims.federation,
    )

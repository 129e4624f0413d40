"""Authentication by a token that an identity provider's word has made: the older way to ask for a scope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skybus.errors import Unauthorized
from skybus.identity.auth.tokens import NO_ENTRY
from skybus.identity.login import by_token
from skybus.identity.login.proof import Proven

if TYPE_CHECKING:
    from skybus.identity.login.login import Login


async def prove(login: Login, shown: Mapping[str, Any], revision: int) -> Proven:
    """Whose token it is. Raises NotFound when it is good no more, Unauthorized when no provider stands behind it: the
    provider's own tokens are shown at the address of its protocol, and nowhere else."""
    if not isinstance(shown.get("id"), str):
        raise Unauthorized(NO_ENTRY)
    proven = await by_token.prove(login, shown, revision)
    if proven.federation is None:
        raise Unauthorized(NO_ENTRY)
    return proven

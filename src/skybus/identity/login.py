"""Authentication: from what somebody shows (password, token, application credential) to who it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from skybus.errors import BadRequest, Unauthorized
from skybus.identity import by_application_credential, by_mapped, by_password, by_token
from skybus.identity.credential_keys import CredentialKeys
from skybus.identity.passwords import Passwords
from skybus.identity.proof import Proven, both
from skybus.identity.tokens import Tokens

Method = Callable[["Login", Mapping[str, Any], int], Awaitable[Proven]]
"""(login, what is shown, the revision that a token of it must carry) -> who it is. Raises Unauthorized when what is
shown does not hold: all refusals of a person read, and take time, the same."""

METHODS: Mapping[str, Method] = {
    "password": by_password.prove,
    "token": by_token.prove,
    "mapped": by_mapped.prove,
    "openid": by_mapped.prove,
    "application_credential": by_application_credential.prove,
}


class Login:
    """Checks what an authentication request shows."""

    def __init__(self, store: Any, tokens: Tokens, passwords: Passwords) -> None:
        self.store = store
        self.tokens = tokens
        self.passwords = passwords
        self.credential_keys = CredentialKeys()

    async def prove(self, identity: Mapping[str, Any]) -> Proven:
        """Who shows `identity` (the object of an authentication request).

        Raises Unauthorized when it does not hold, NotFound for a dead token, BadRequest for a method without data.
        """
        # The revision comes before all that is read, so that a revocation in between kills the token; see revocations.
        revision = await self.tokens.catch_up(self.store)
        proven: Proven | None = None
        for name in dict.fromkeys(identity["methods"]):
            method = METHODS.get(name)
            if method is None:
                raise Unauthorized(f"Attempted to authenticate with an unsupported method: {name[:32]!r}.")
            if not isinstance(identity.get(name), Mapping):
                raise BadRequest(f"Expecting to find {name} in identity. The server could not comply with it.")
            found = await method(self, identity[name], revision)
            proven = found if proven is None else both(proven, found)
        assert proven is not None
        return proven

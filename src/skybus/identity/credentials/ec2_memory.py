"""Who signed lately, so that an object store need not ask the database about each of a thousand requests."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar

from skybus import clock
from skybus.bus.message import Discreet
from skybus.errors import Unauthorized
from skybus.http.caller import Caller
from skybus.identity.auth.tokens import Tokens

MOST = 1000
"""Access keys in memory."""
KEPT = timedelta(seconds=60)
"""How long: roles that somebody is given meanwhile are seen after this at the latest. What is taken away counts at
once, for it kills the token."""


class _Signer(Discreet, frozen=True, kw_only=True):
    """A secret, and the token that it was worth."""

    SECRETS: ClassVar[tuple[str, ...]] = ("secret", "token")

    secret: str
    token: str
    until: datetime


class SignerMemory:
    """Signers by access key, the ones seen last."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._known: OrderedDict[str, _Signer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def keep(self, access: str, secret: str, token: str) -> None:
        """Remember who signed well."""
        self._known[access] = _Signer(secret=secret, token=token, until=clock.now() + KEPT)
        self._known.move_to_end(access)
        if len(self._known) > MOST:
            self._known.popitem(last=False)

    async def caller(self, access: str, check: Callable[[str], None]) -> Caller | None:
        """Who signed with this access key, or None when the database must say. `check` is given the secret and raises
        Unauthorized when it did not make the signature."""
        known = self._known.get(access)
        if known is None:
            return None
        try:
            check(known.secret)
        except Unauthorized:
            # Perhaps made with a newer secret than the one that is known here; nobody's guesses make us forget.
            return None
        try:
            caller = await self._tokens.authenticate(known.token)
        except Unauthorized:
            caller = None
        if caller is None or known.until <= clock.now():
            self._known.pop(access, None)
            return None
        return caller

"""Authentication: from what somebody shows (password, token, application credential) to who it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from skybus import clock
from skybus.errors import BadRequest, Forbidden, NotFound, Unauthorized
from skybus.identity import application_credentials as credentials
from skybus.identity import users
from skybus.identity.claims import Claims
from skybus.identity.passwords import Passwords
from skybus.identity.tokens import NO_ENTRY, Tokens

Row = Any


class Proven(msgspec.Struct, kw_only=True):
    """Who it is, and what the way of showing it limits."""

    user: Row
    methods: tuple[str, ...]
    revision: int
    parent: Claims | None = None
    """The token that was shown."""
    credential: Row | None = None
    """The application credential that was shown, or by which the shown token was made."""
    expires_at: int | None = None
    """Seconds since 1970, when the new token must end at the latest."""


class Login:
    """Checks what an authentication request shows. All refusals of a person read the same."""

    def __init__(self, store: Any, tokens: Tokens, passwords: Passwords) -> None:
        self.store = store
        self.tokens = tokens
        self.passwords = passwords

    async def prove(self, identity: Mapping[str, Any]) -> Proven:
        """Who shows `identity` (the object of an authentication request).

        Raises Unauthorized when it does not hold, NotFound for a dead token, BadRequest for a method without data.
        """
        # The revision comes before all that is read, so that a revocation in between kills the token; see revocations.
        revision = await self.tokens.catch_up(self.store)
        methods = list(dict.fromkeys(identity["methods"]))
        proven: Proven | None = None
        for method in methods:
            step = _STEPS.get(method)
            if step is None:
                raise Unauthorized(f"Attempted to authenticate with an unsupported method: {method[:32]!r}.")
            if not isinstance(identity.get(method), Mapping):
                raise BadRequest(f"Expecting to find {method} in identity. The server could not comply with it.")
            found = await step(self, identity[method], revision)
            if proven is not None and found.user["id"] != proven.user["id"]:
                raise Unauthorized(NO_ENTRY)
            proven = found if proven is None else _both(proven, found)
        assert proven is not None
        return proven

    async def _password(self, shown: Mapping[str, Any], revision: int) -> Proven:
        asked = shown["user"]
        user = await self._user(asked)
        right = await self.passwords.check(asked.get("password") or "", user["hash"] if user is not None else None)
        return Proven(user=_live(user if right else None), methods=("password",), revision=revision)

    async def _token(self, shown: Mapping[str, Any], revision: int) -> Proven:
        claims = self.tokens.subject(str(shown.get("id", "")))
        user = await self.store.fetchrow(users.LOGIN_BY_ID, claims.user_id)
        try:
            _live(user)
        except Unauthorized:
            raise NotFound("Could not find token.") from None
        credential = None
        if claims.application_credential_id is not None:
            credential = await credentials.credential_find(self.store, claims.application_credential_id)
            if credential is None:
                raise NotFound("Could not find token.")
        methods = claims.methods if "token" in claims.methods else (*claims.methods, "token")
        return Proven(user=user, methods=methods, revision=revision, parent=claims, credential=credential)

    async def _application_credential(self, shown: Mapping[str, Any], revision: int) -> Proven:
        credential = await self._credential(shown)
        right = await credentials.secret_check(
            self.passwords, str(shown.get("secret", "")), credential["secret_hash"] if credential is not None else None
        )
        if credential is None or not right:
            raise Unauthorized(NO_ENTRY)
        user = await self.store.fetchrow(users.LOGIN_BY_ID, credential["user_id"])
        expires_at = None
        if credential["expires_at"] is not None:
            expires_at = int(credential["expires_at"].timestamp())
            if credential["expires_at"] <= clock.now():
                raise Unauthorized(NO_ENTRY)
        return Proven(
            user=_live(user, password=False),
            methods=("application_credential",),
            revision=revision,
            credential=credential,
            expires_at=expires_at,
        )

    async def _credential(self, shown: Mapping[str, Any]) -> Row | None:
        if shown.get("id") is not None:
            return await credentials.credential_find(self.store, shown["id"])
        user = await self._user(shown.get("user") or {})
        if user is None:
            return None
        return await credentials.credential_by_name(self.store, user["id"], shown.get("name") or "")

    async def _user(self, asked: Mapping[str, Any]) -> Row | None:
        """The user whom a request names, by id or by name and domain. Raises BadRequest when it names nobody."""
        if asked.get("id") is not None:
            return await self.store.fetchrow(users.LOGIN_BY_ID, asked["id"])
        domain = asked.get("domain") or {}
        name = asked.get("name")
        if name is None or (domain.get("id") is None and domain.get("name") is None):
            raise BadRequest("Expecting to find domain in user. The server could not comply with the request.")
        if domain.get("id") is not None:
            return await self.store.fetchrow(users.LOGIN_BY_NAME, domain["id"], name)
        return await self.store.fetchrow(users.LOGIN_BY_NAMES, domain["name"], name)


_STEPS = {
    "password": Login._password,
    "token": Login._token,
    "application_credential": Login._application_credential,
}


def _live(user: Row | None, *, password: bool = True) -> Row:
    """The user, if it may act. Raises Unauthorized, in one sentence for all reasons."""
    if user is None or not user["enabled"] or not user["domain_enabled"]:
        raise Unauthorized(NO_ENTRY)
    expires = user["password_expires_at"]
    if password and expires is not None and expires <= clock.now():
        raise Unauthorized(NO_ENTRY)
    return user


def _both(first: Proven, second: Proven) -> Proven:
    """Two proofs of one user: all methods, and every limit of both. Raises Forbidden for limits that cannot meet."""
    if first.credential is not None and second.credential is not None and first.credential != second.credential:
        raise Forbidden("Two application credentials cannot be used together.")
    return Proven(
        user=first.user,
        methods=tuple(dict.fromkeys((*first.methods, *second.methods))),
        revision=min(first.revision, second.revision),
        parent=first.parent or second.parent,
        credential=first.credential or second.credential,
        expires_at=min((end for end in (first.expires_at, second.expires_at) if end is not None), default=None),
    )

"""The OpenID providers that the configuration names: what they are asked once and remembered, and what they say of a
token that somebody shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import structlog

from skybus import clock
from skybus.config import OpenIdProvider
from skybus.errors import Unavailable
from skybus.identity.federation.oidc_http import ProviderHttp
from skybus.identity.federation.oidc_tokens import (
    LEEWAY_SECONDS,
    LONGEST,
    KeyUnknown,
    ProviderKey,
    TokenRefused,
    is_jwt,
    issuer_said,
    keys_of,
    verify,
)

log = structlog.get_logger()

DISCOVERY = "/.well-known/openid-configuration"
FRESH_SECONDS = 600.0
"""How long keys and addresses are believed before they are asked for again."""
PATIENCE_SECONDS = 10.0
"""Between two questions for keys, however many tokens name one that nobody knows."""
STALE_SECONDS = 3600.0
"""How long keys are still used while their provider does not answer."""


class Provider:
    """One provider. Safe for any number of logins at a time: they wait for one and the same question."""

    def __init__(self, settings: OpenIdProvider) -> None:
        self.settings = settings
        self.issuer = settings.issuer
        self.audience = list(settings.audience) or [settings.client_id]
        hosts = {urlsplit(settings.issuer).netloc, *settings.hosts}
        self.http = ProviderHttp(hosts, seconds=settings.seconds, ca_file=settings.ca_file)
        self._document: dict[str, Any] = {}
        self._keys: list[ProviderKey] = []
        self._asked_at = -PATIENCE_SECONDS
        self._known_at = -STALE_SECONDS
        self._asking = asyncio.Lock()

    async def claims(self, token: str) -> dict[str, Any]:
        """What the provider says of whom `token` names. Raises TokenRefused, or Unavailable when it cannot be asked."""
        if len(token) > LONGEST:
            raise TokenRefused("it is too long")
        return await self._signed(token) if is_jwt(token) else await self._introspected(token)

    async def _signed(self, token: str) -> dict[str, Any]:
        await self._know(FRESH_SECONDS)
        try:
            return verify(token, self._keys, self.issuer, self.audience)
        except KeyUnknown:
            # The provider may have a new key since.
            if not await self._know(PATIENCE_SECONDS):
                raise
            return verify(token, self._keys, self.issuer, self.audience)

    async def _introspected(self, token: str) -> dict[str, Any]:
        if not self.settings.client_secret:
            raise TokenRefused("it is opaque, and no client secret is configured to ask the provider with")
        await self._know(FRESH_SECONDS)
        endpoint = self._document.get("introspection_endpoint")
        if not isinstance(endpoint, str):
            raise TokenRefused("it is opaque, and the provider does not say what such tokens mean")
        form = {"token": token, "token_type_hint": "access_token"}
        said = await self.http.post(endpoint, form, (self.settings.client_id, self.settings.client_secret))
        return self._checked(said)

    def _checked(self, said: Any) -> dict[str, Any]:
        """What an introspection says, if it holds here and now. Raises TokenRefused."""
        if not isinstance(said, dict) or said.get("active") is not True:
            raise TokenRefused("it is not active")
        now = clock.now().timestamp()
        if not _is_number(said.get("exp")) or said["exp"] <= now - LEEWAY_SECONDS:
            raise TokenRefused("it has expired, or never does")
        if _is_number(said.get("nbf")) and said["nbf"] > now + LEEWAY_SECONDS:
            raise TokenRefused("it is not good yet")
        if said.get("iss", self.issuer) != self.issuer:
            raise TokenRefused("somebody else issued it")
        listed = said.get("aud", [] if self.settings.audience else self.audience)
        if not any(one in self.audience for one in (listed if isinstance(listed, list) else [listed])):
            raise TokenRefused("it is meant for somebody else")
        if not isinstance(said.get("sub", said.get("client_id")), str):
            raise TokenRefused("it names nobody")
        return {"sub": said.get("client_id"), **said, "iss": self.issuer}

    async def _know(self, seconds: float) -> bool:
        """Ask for addresses and keys unless that was done within `seconds`; whether it was done now.

        Raises Unavailable when the provider does not answer and what we know is too old.
        """
        seen = self._known_at
        if time.monotonic() - self._known_at < seconds:
            return False
        async with self._asking:
            if self._known_at != seen:
                return True
            if time.monotonic() - self._asked_at < PATIENCE_SECONDS:
                self._need_known()
                return False
            self._asked_at = time.monotonic()
            try:
                await self._learn()
            except Unavailable as error:
                log.warning("openid_provider_away", issuer=self.issuer, reason=error.reason)
                self._need_known()
                return False
            return True

    def _need_known(self) -> None:
        if time.monotonic() - self._known_at > STALE_SECONDS:
            raise Unavailable("The identity provider does not answer at the moment.")

    async def _learn(self) -> None:
        document = await self.http.get(self.issuer.rstrip("/") + DISCOVERY)
        if not isinstance(document, dict) or document.get("issuer") != self.issuer:
            raise Unavailable("The identity provider calls itself by another name.")
        keys = keys_of(await self.http.get(str(document.get("jwks_uri", ""))))
        self._document, self._keys = document, keys
        self._known_at = time.monotonic()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class OpenIdProviders:
    """All of them, by issuer."""

    def __init__(self, settings: Iterable[OpenIdProvider] = ()) -> None:
        self.by_issuer = {one.issuer: Provider(one) for one in settings}

    async def close(self) -> None:
        """Give the connections back."""
        for provider in self.by_issuer.values():
            await provider.http.close()

    async def claims(self, token: str, issuers: Iterable[str]) -> dict[str, Any]:
        """What one of `issuers`, which the configuration names too, says of `token`.

        Raises TokenRefused, or Unavailable when the one that would know cannot be asked.
        """
        known = [self.by_issuer[issuer] for issuer in issuers if issuer in self.by_issuer]
        if is_jwt(token):
            said = issuer_said(token) if len(token) <= LONGEST else ""
            known = [provider for provider in known if provider.issuer == said]
        else:
            known = [provider for provider in known if provider.settings.client_secret]
        if len(known) != 1:
            # An opaque token is shown to nobody but the one provider that can have made it.
            raise TokenRefused(f"{len(known)} configured providers could have issued it")
        return await known[0].claims(token)

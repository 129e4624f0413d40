"""Questions to an OpenID provider: to configured hosts alone, for a bounded time and a bounded answer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from skybus.errors import Unavailable

MOST_BYTES = 1_048_576
"""Of one answer."""
AT_ONCE = 8
"""Questions to one provider; the others wait, within their own deadline."""


class ProviderHttp:
    """Speaks to one provider, which lives at `hosts` (host, or host:port). `seconds` bounds each question with all the
    waiting for it."""

    def __init__(self, hosts: Collection[str], *, seconds: float, ca_file: Path | None = None) -> None:
        self.hosts = frozenset(hosts)
        self.seconds = seconds
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, url: str) -> Any:
        """The JSON at `url`. Raises Unavailable when there is none to be had."""
        return await self._ask("GET", url, None, None)

    async def post(self, url: str, form: Mapping[str, str], auth: tuple[str, str]) -> Any:
        """The JSON that answers a form. Raises Unavailable when there is none to be had."""
        return await self._ask("POST", url, form, _basic(*auth))

    async def _ask(self, method: str, url: str, form: Mapping[str, str] | None, authorization: str | None) -> Any:
        self._check(url)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if authorization is not None:
            headers["Authorization"] = authorization
        try:
            async with (
                asyncio.timeout(self.seconds),
                self._turns,
                # A redirect could lead anywhere, and take a secret with it.
                self._open().request(method, url, data=form, headers=headers, allow_redirects=False) as answer,
            ):
                data = await _bounded(answer)
                if answer.status != 200:
                    raise Unavailable(f"The identity provider answered {answer.status}.")
            return msgspec.json.decode(data)
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable("The identity provider does not answer at the moment.") from error

    def _check(self, url: str) -> None:
        """Raises Unavailable for a URL that leads elsewhere: a provider's documents may name only its own hosts."""
        try:
            parts = urlsplit(url)
        except ValueError:
            raise Unavailable("The identity provider names an address that is none.") from None
        if parts.scheme not in ("https", "http") or parts.netloc not in self.hosts or parts.username is not None:
            raise Unavailable("The identity provider names an address outside of its configured hosts.")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise Unavailable("The identity provider names an address without TLS.")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            trusted = ssl.create_default_context(cafile=str(self._ca_file) if self._ca_file else None)
            connector = aiohttp.TCPConnector(ssl=trusted, limit=AT_ONCE)
            self._session = aiohttp.ClientSession(connector=connector, trust_env=False, auto_decompress=False)
        return self._session


def is_loopback(host: str) -> bool:
    """Whether nobody can listen on the way to `host`."""
    return host in ("127.0.0.1", "::1", "localhost")


def _basic(user: str, password: str) -> str:
    """RFC 6749, section 2.3.1: both are encoded as in a form first, with `%20` for a space, which all can read."""
    return aiohttp.encode_basic_auth(quote(user, safe=""), quote(password, safe=""))


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in answer.content.iter_any():
        data += chunk
        if len(data) > MOST_BYTES:
            raise Unavailable("The identity provider answers more than we read.")
    return bytes(data)

"""An OpenID provider that is in the wrong hands, or out of its mind, harms nobody but its own users."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from skybus import clock
from skybus.config import OpenIdProvider
from skybus.errors import Unavailable
from skybus.identity.federation.oidc_http import MOST_BYTES
from skybus.identity.federation.oidc_providers import Provider
from skybus.identity.federation.oidc_tokens import TokenRefused

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Wild:
    """A provider that answers what a test says, and counts the questions."""

    def __init__(self) -> None:
        self.issuer = ""
        self.document: dict[str, Any] = {}
        self.jwks: Any = {"keys": [{**jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "k"}]}
        self.said: Any = {}
        self.asked: list[str] = []
        self.instead: Answer | None = None

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if self.instead is not None:
            return await self.instead(request)
        if request.path.endswith("openid-configuration"):
            known = {"issuer": self.issuer, "jwks_uri": self.issuer + "/keys"}
            return web.json_response({**known, "introspection_endpoint": self.issuer + "/introspect", **self.document})
        return web.json_response(self.jwks if request.path == "/keys" else self.said)

    def token(self, **other: Any) -> str:
        now = int(time.time())
        said = {"iss": self.issuer, "aud": "us", "sub": "x", "iat": now, "exp": now + 60, **other}
        return jwt.encode(said, KEY, algorithm="RS256", headers={"kid": other.get("kid", "k")})


@asynccontextmanager
async def _running(wild: Wild) -> AsyncIterator[str]:
    runner = web.AppRunner(_app(wild), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _app(wild: Wild) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", wild.serve)
    return app


@pytest.fixture
async def wild() -> AsyncIterator[Wild]:
    made = Wild()
    async with _running(made) as url:
        made.issuer = url
        yield made


@pytest.fixture
async def provider(wild: Wild) -> AsyncIterator[Provider]:
    made = Provider(OpenIdProvider(issuer=wild.issuer, client_id="us", client_secret="canary-of-mine", seconds=1.0))
    yield made
    await made.http.close()


async def test_a_sound_answer_is_believed(wild: Wild, provider: Provider) -> None:
    assert (await provider.claims(wild.token()))["sub"] == "x"
    now = clock.now().timestamp()
    wild.said = {"active": True, "exp": now + 60, "sub": "y", "aud": ["us"]}
    assert (await provider.claims("opaque"))["sub"] == "y"


async def test_keys_are_asked_for_once_however_many_come(wild: Wild, provider: Provider) -> None:
    await asyncio.gather(*(provider.claims(wild.token()) for _ in range(50)))
    for _ in range(50):
        with pytest.raises(TokenRefused):
            await provider.claims(wild.token(kid="nobody's"))
    assert wild.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_a_provider_does_not_send_us_elsewhere(wild: Wild, provider: Provider) -> None:
    """Security class 4."""
    other = Wild()
    async with _running(other) as url:
        for where in (url + "/keys", "http://169.254.169.254/keys", "file:///etc/passwd", "http://[", "", "//x", 7):
            wild.document = {"jwks_uri": where}
            provider._asked_at = -100.0
            with pytest.raises(Unavailable):
                await provider.claims(wild.token())

        async def redirect(request: web.Request) -> web.StreamResponse:
            raise web.HTTPFound(url + "/keys")

        wild.document, wild.instead, provider._asked_at = {}, redirect, -100.0
        with pytest.raises(Unavailable):
            await provider.claims(wild.token())
        wild.instead, wild.document, provider._asked_at = None, {"introspection_endpoint": url + "/introspect"}, -100.0
        with pytest.raises(Unavailable):
            await provider.claims("opaque")
    assert other.asked == []


async def test_a_provider_by_another_name_is_another(wild: Wild, provider: Provider) -> None:
    for name in ("https://other.example", wild.issuer + "/", None, 7):
        wild.document = {"issuer": name}
        provider._asked_at = -100.0
        with pytest.raises(Unavailable):
            await provider.claims(wild.token())


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for _ in range(2 * MOST_BYTES // 65_536):
        await response.write(b" " * 65_536)
    return response


async def _silent(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    raise web.HTTPOk


async def _nonsense(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"\xff{[", content_type="application/json")


@pytest.mark.parametrize("how", [_endless, _silent, _nonsense])
async def test_what_is_no_answer_is_unavailable_in_bounded_time(wild: Wild, provider: Provider, how: Answer) -> None:
    """Security class 16."""
    wild.instead = how
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(Unavailable):
            await provider.claims(wild.token())
    assert time.monotonic() - began < 10
    assert len(wild.asked) == 1


@pytest.mark.parametrize(
    "said",
    [
        {"active": False},
        {"active": "true"},
        {"active": 1},
        {"active": True},
        {"active": True, "exp": 1, "sub": "x"},
        {"active": True, "exp": "soon", "sub": "x"},
        {"active": True, "exp": 9e9, "sub": "x", "nbf": 9e9},
        {"active": True, "exp": 9e9, "sub": "x", "aud": "them"},
        {"active": True, "exp": 9e9, "sub": "x", "aud": [{"us": 1}, ["us"]]},
        {"active": True, "exp": 9e9, "sub": "x", "iss": "https://other.example"},
        {"active": True, "exp": 9e9, "sub": 7},
        {"active": True, "exp": 9e9},
        [],
        None,
        "active",
    ],
)
async def test_an_opaque_token_of_which_no_good_is_said_is_refused(wild: Wild, provider: Provider, said: Any) -> None:
    wild.said = said
    with pytest.raises(TokenRefused):
        await provider.claims("opaque")


async def test_known_keys_outlive_a_silence_for_a_while(wild: Wild, provider: Provider) -> None:
    token = wild.token()
    assert await provider.claims(token)
    wild.instead = _nonsense
    provider._known_at -= 700
    provider._asked_at -= 700
    assert await provider.claims(token)
    provider._known_at -= 3600
    provider._asked_at -= 3600
    with pytest.raises(Unavailable):
        await provider.claims(token)

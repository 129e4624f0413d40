"""A gateway in front of chosen APIs, on a loopback port of its own, and callers made up for the test.

A made-up token reads `USER:PROJECT:ROLE,ROLE`; `system` as the project makes it system-scoped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from skybus.errors import Unauthorized
from skybus.http.caller import Caller
from skybus.http.dispatch import Authenticate, Dispatcher
from skybus.http.policy import Policy
from skybus.http.routes import Api


async def made_up(token: str) -> Caller:
    """The caller that a made-up token names."""
    parts = token.split(":")
    if len(parts) != 3:
        raise Unauthorized("The request you have made requires authentication.")
    user, project, roles = parts
    return Caller(
        user_id=user,
        project_id=None if project == "system" else project,
        project_domain_id="default",
        system=project == "system",
        roles=frozenset(roles.split(",")),
        token=token,
    )


class Answer:
    """A response, read to its end."""

    def __init__(self, status: int, headers: Mapping[str, str], data: bytes, body: Any) -> None:
        self.status, self.headers, self.data, self.body = status, headers, data, body

    def __repr__(self) -> str:
        return f"<{self.status} {self.data[:500]!r}>"


class Client:
    """Speaks to the gateway of one test."""

    def __init__(self, http: aiohttp.ClientSession, url: str, dispatcher: Dispatcher) -> None:
        self.http, self.url, self.dispatcher = http, url, dispatcher

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "alice:p1:member,reader",
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; `path` begins behind the host, or is a whole URL."""
        sent = dict(headers or {})
        if token:
            sent["X-Auth-Token"] = token
        url = path if path.startswith("http") else self.url + path
        async with self.http.request(method, url, json=body, data=data, headers=sent) as response:
            raw = await response.read()
            parsed = await response.json() if raw and "json" in response.headers.get("Content-Type", "") else None
            return Answer(response.status, response.headers, raw, parsed)


@asynccontextmanager
async def front(
    apis: Sequence[Api],
    rules: Mapping[str, str],
    services: Mapping[str, Any],
    *,
    authenticate: Authenticate = made_up,
) -> AsyncIterator[Client]:
    """Serve `apis` under the policy `rules`; `services` must hold the store."""
    dispatcher = Dispatcher(
        apis, Policy(rules), authenticate, public_url="http://cloud.test", max_body_bytes=114_688, services=services
    )
    runner = web.ServerRunner(web.Server(dispatcher.serve))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    url = f"http://127.0.0.1:{port}"
    dispatcher.public_url = url
    try:
        async with aiohttp.ClientSession() as http:
            yield Client(http, url, dispatcher)
    finally:
        await runner.cleanup()

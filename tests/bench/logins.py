"""Logins by password cost a good part of a second of CPU each, on purpose: what others feel of many at a time."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from typing import Any

from bench.api import Api
from bench.figures import Figures, spread
from bench.load import hammer

IN_FLIGHT = 50
LANES = 4
"""Connections that read meanwhile: as many as a user or two would have."""
FRESH = 2_000
"""Tokens that are validated once each."""


class Logins:
    """Measures one cloud. `seconds` is the length of each part."""

    def __init__(self, api: Api, figures: Figures, seconds: float) -> None:
        self.api, self.figures, self.seconds = api, figures, seconds

    async def beside(self) -> None:
        """The list of flavors alone, and beside 50 logins by password that are always in flight."""
        alone = await self._reads("flavors.alone")
        done, over = itertools.count(), asyncio.Event()
        crowd = [asyncio.create_task(self._log_in(done, over)) for _ in range(IN_FLIGHT)]
        try:
            beside = await self._reads(f"flavors.beside-{IN_FLIGHT}-logins")
            self.figures.add("logins.meanwhile", "1/s", next(done) / self.seconds)
        finally:
            # To their end: hashes that nobody waits for any more would be worked off beside what is measured next.
            over.set()
            await asyncio.gather(*crowd)
        self.figures.add("flavors.p99-later-beside-logins", "ms", beside["p99"] - alone["p99"])

    async def fresh(self) -> None:
        """Tokens that the gateways have not seen: each is validated once, by the administrator."""
        path = f"/users/{self.api.user_id}/application_credentials"
        asked = {"application_credential": {"name": f"bench-{secrets.token_hex(4)}"}}
        made = (await self.api.call("POST", "identity", path, asked))["application_credential"]
        shown = {"id": made["id"], "secret": made["secret"]}
        body = {"auth": {"identity": {"methods": ["application_credential"], "application_credential": shown}}}
        tokens: list[str] = []

        async def issue() -> None:
            tokens.append((await self.api.issue(body))[0])

        async def validate() -> None:
            await self.api.raw("GET", "identity", "/auth/tokens", **{"X-Subject-Token": tokens.pop()})

        try:
            await hammer(60, 16, issue, most=FRESH)
            times, wall = await hammer(60, 16, validate, most=len(tokens))
            self.figures.add("token.validate-fresh.c16", "1/s", len(times) / wall, **spread(times))
        finally:
            await self.api.raw("DELETE", "identity", f"{path}/{made['id']}")

    async def _reads(self, name: str) -> dict[str, float]:
        times, wall = await hammer(self.seconds, LANES, lambda: self.api.raw("GET", "compute", "/flavors"))
        self.figures.add(name, "1/s", len(times) / wall, **spread(times))
        return spread(times)

    async def _log_in(self, done: Any, over: asyncio.Event) -> None:
        while not over.is_set():
            await self.api.issue(self.api.password())
            next(done)

"""Requests that change little or nothing: tokens, lists, details, ports, networks."""

from __future__ import annotations

import itertools
import secrets
import statistics
import time
from typing import Any

from bench.api import Api
from bench.figures import Figures, spread
from bench.load import hammer
from bench.site import Site, by_kind

CONCURRENCIES = (1, 16, 64)
WARM_UP_SECONDS = 0.5
SLOW = 32
"""Calls of what is slow on purpose, each of which keeps a core busy for a good part of a second."""
SAMPLES = 15
"""Reads of one long list."""


class Requests:
    """Measures one cloud's answers. `seconds` is the length of each rate test."""

    def __init__(self, api: Api, site: Site, figures: Figures, seconds: float) -> None:
        self.api, self.site, self.figures, self.seconds = api, site, figures, seconds

    async def tokens(self) -> None:
        """Issue by password (a slow hash, on purpose) and by application credential, and validate."""
        name = f"bench-{secrets.token_hex(4)}"
        path = f"/users/{self.api.user_id}/application_credentials"
        made = await self.api.call("POST", "identity", path, {"application_credential": {"name": name}})
        credential = made["application_credential"]
        wanted = {"id": credential["id"], "secret": credential["secret"]}
        by_credential = {
            "auth": {"identity": {"methods": ["application_credential"], "application_credential": wanted}}
        }
        subject = {"X-Subject-Token": self.api.token}
        try:
            for lanes in CONCURRENCIES:
                await self._rate(
                    f"token.password.c{lanes}", lanes, lambda: self.api.issue(self.api.password()), max(SLOW, lanes)
                )
                await self._rate(f"token.credential.c{lanes}", lanes, lambda: self.api.issue(by_credential))
                await self._rate(
                    f"token.validate.c{lanes}", lanes,
                    lambda: self.api.raw("GET", "identity", "/auth/tokens", **subject),
                )  # fmt: skip
        finally:
            await self.api.raw("DELETE", "identity", f"{path}/{credential['id']}")

    async def reads(self) -> None:
        """The list of flavors."""
        for lanes in CONCURRENCIES:
            await self._rate(f"flavors.c{lanes}", lanes, lambda: self.api.raw("GET", "compute", "/flavors"))

    async def creates(self, network: str) -> None:
        """Networks with 10 in flight, and ports on `network` likewise; what was made is removed."""
        made: list[tuple[str, str]] = []
        numbers = itertools.count()

        async def create(kind: str, body: dict[str, Any]) -> None:
            answer = await self.api.call("POST", "network", f"/{kind}s", {kind: body})
            made.append((kind, answer[kind]["id"]))

        try:
            await self._rate("network.create.c10", 10, lambda: create("network", {"name": f"b{next(numbers)}"}), 300)
            await self._rate("port.create.c10", 10, lambda: create("port", {"network_id": network}), 1_000)
        finally:
            for kind, id_ in made:
                await self.api.raw("DELETE", "network", f"/{kind}s/{id_}")

    async def lists(self, servers: int) -> None:
        """Long lists while there are `servers` servers: pages of 1,000, every page for all of them, and ports."""
        for name, service, path in (
            (f"list.page.{servers}", "compute", "/servers?limit=1000"),
            (f"detail.page.{servers}", "compute", "/servers/detail?limit=1000"),
            (f"ports.{servers}", "network", "/ports"),
        ):
            times, size = [], 0
            for _ in range(SAMPLES):
                at = time.monotonic()
                size = len(await self.api.raw("GET", service, path))
                times.append((time.monotonic() - at) * 1000)
            self.figures.add(name, "ms", statistics.median(times), **spread(times), kib=size / 1024)
        await self._all_pages(servers)

    async def _all_pages(self, servers: int) -> None:
        for name, path in (("list", "/servers"), ("detail", "/servers/detail")):
            at, count, marker = time.monotonic(), 0, ""
            while page := (await self.api.call("GET", "compute", f"{path}?limit=1000{marker}"))["servers"]:
                count += len(page)
                marker = f"&marker={page[-1]['id']}"
            wall = (time.monotonic() - at) * 1000
            self.figures.add(f"{name}.all.{servers}", "ms", wall, servers=count)

    async def _rate(self, name: str, lanes: int, work: Any, most: int = 1_000_000) -> None:
        if most > 2 * lanes:
            await hammer(WARM_UP_SECONDS, min(lanes, 4), work, most=lanes)
        before = self.site.cpu_seconds()
        times, wall = await hammer(self.seconds, lanes, work, most=most)
        used = by_kind({key: value - before.get(key, 0.0) for key, value in self.site.cpu_seconds().items()})
        each = {f"{kind}_cpu_ms": value * 1000 / len(times) for kind, value in used.items() if value / wall > 0.02}
        self.figures.add(name, "1/s", len(times) / wall, **spread(times), **each)

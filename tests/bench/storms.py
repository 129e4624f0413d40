"""Boot storms and delete storms: rates, times of single servers, CPU of each kind of process, latency of events."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from bench.api import Api
from bench.figures import Figures, spread
from bench.load import in_flight
from bench.site import Site, by_kind
from bench.watch import CREATED, DELETED, FAILED, PLACED, REQUESTED, Watch
from bench.world import World

BOOT_SECONDS = 600.0
"""In which one server has to be there, or to have failed."""


class Storms:
    """Makes and removes servers, and says how that went."""

    def __init__(self, api: Api, watch: Watch, world: World, site: Site, figures: Figures) -> None:
        self.api, self.watch, self.world, self.site, self.figures = api, watch, world, site, figures

    async def boot(self, count: int, limit: int, name: str = "") -> list[str]:
        """Servers to ACTIVE, `limit` of them at a time from request to ACTIVE; answers their ids. Figures are kept
        under `name` if it has any."""
        asked: dict[str, float] = {}
        accepted: list[float] = []
        cpu, mark = self.site.cpu_seconds(), len(self.watch.latencies)

        async def create(number: int) -> None:
            at = time.monotonic()
            answer = await self.api.call("POST", "compute", "/servers", self.world.server(f"bench-{number}"))
            accepted.append((time.monotonic() - at) * 1000)
            server = answer["server"]["id"]
            asked[server] = at
            await self.watch.ended(server, BOOT_SECONDS)

        began = time.monotonic()
        await in_flight(count, limit, create)
        wall = time.monotonic() - began
        await self._none_failed(asked)
        if name:
            self._boot_figures(name, wall, asked, accepted)
            self._cpu_figures(name, count, cpu)
            self.figures.add_spread(f"{name}.event-latency", "ms", self.watch.latencies[mark:])
        return list(asked)

    async def delete(self, servers: list[str], limit: int, name: str = "") -> None:
        """Remove servers, `limit` requests at a time; return when all are gone."""
        cpu, began = self.site.cpu_seconds(), time.monotonic()
        asked: dict[str, float] = {}

        async def one(number: int) -> None:
            asked[servers[number]] = time.monotonic()
            await self.api.raw("DELETE", "compute", f"/servers/{servers[number]}")

        await in_flight(len(servers), limit, one)
        await self.watch.gone(servers, 60 + len(servers) * 0.2)
        wall = time.monotonic() - began
        if name:
            gone = self.watch.seen[DELETED]
            times = [(gone[server] - at) * 1000 for server, at in asked.items()]
            self.figures.add(f"{name}.rate", "1/s", len(servers) / wall, **spread(times))
            self._cpu_figures(name, len(servers), cpu)

    def _boot_figures(self, name: str, wall: float, asked: dict[str, float], accepted: list[float]) -> None:
        created = self.watch.seen[CREATED]
        times = [(created[server] - at) * 1000 for server, at in asked.items() if server in created]
        self.figures.add(f"{name}.rate", "1/s", len(times) / wall, **spread(times))
        self.figures.add_spread(f"{name}.accept", "ms", accepted)
        self.figures.add_spread(f"{name}.placement-through-the-bus", "ms", self._placements(asked))

    async def _none_failed(self, asked: Iterable[str]) -> None:
        """Raise RuntimeError with a reason when a server failed: a rate of failures is no figure."""
        failed = [server for server in asked if server in self.watch.seen[FAILED]]
        if failed:
            shown = await self.api.call("GET", "compute", f"/servers/{failed[0]}")
            raise RuntimeError(f"{len(failed)} servers failed; the first: {shown['server'].get('fault')}")

    def _placements(self, asked: dict[str, float]) -> list[float]:
        """From the request's row to the host's, by what the cloud wrote: relay, bus, scheduler, claim, conductor."""
        requested, placed = self.watch.written[REQUESTED], self.watch.written[PLACED]
        return [(placed[s] - requested[s]) * 1000 for s in asked if s in placed and s in requested]

    def _cpu_figures(self, name: str, count: int, before: dict[str, float]) -> None:
        now = self.site.cpu_seconds()
        used = by_kind({process: value - before.get(process, 0.0) for process, value in now.items()})
        each: dict[str, Any] = {f"{kind}_ms": value * 1000 / count for kind, value in used.items()}
        self.figures.add(f"{name}.cpu-each", "ms", sum(each.values()), **each)

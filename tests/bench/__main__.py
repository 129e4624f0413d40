"""Measure a cloud through its public API alone; print a table and write a JSON file. `ops/bench` runs this."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.api import api_of
from bench.choices import measure_choices
from bench.counts import count_boot
from bench.figures import Figures, write_json
from bench.logins import Logins
from bench.requests import Requests
from bench.site import NOT_OURS, Site, by_kind, machine
from bench.storms import Storms
from bench.watch import watching
from bench.world import world

PARTS = ("memory", "placement", "tokens", "logins", "reads", "creates", "events", "counts", "storms", "present")
IDLE_EVENTS = 50


class Bench:
    """One run over the chosen parts."""

    def __init__(self, args: argparse.Namespace, site: Site) -> None:
        self.args, self.site, self.figures = args, site, Figures()

    async def run(self) -> None:
        """Everything that was asked for, `--repeat` times; memory first, while the cloud is idle."""
        if "memory" in self.args.only:
            memory(self.site, self.figures, "idle")
        for _ in range(self.args.repeat):
            if "placement" in self.args.only:
                measure_choices(self.figures)
        async with api_of(self.site.cloud()) as api, world(api) as made, watching(api) as watch:
            storms = Storms(api, watch, made, self.site, self.figures)
            requests = Requests(api, self.site, self.figures, self.args.seconds)
            await storms.delete(await storms.boot(40, 20), 20)  # connections, caches, statements: warm
            hosts = await api.call("GET", "compute", "/os-hypervisors")
            names = [host["hypervisor_hostname"] for host in hosts["hypervisors"]]
            for number in range(self.args.repeat):
                await self.once(number, storms, requests, made.networks[0], names)

    async def once(self, number: int, storms: Storms, requests: Requests, network: str, hosts: list[str]) -> None:
        """One of the runs."""
        work: dict[str, Callable[[], Awaitable[None]]] = {
            "tokens": requests.tokens,
            "logins": lambda: logins(requests),
            "reads": requests.reads,
            "creates": lambda: requests.creates(network),
            "events": lambda: idle_events(storms),
            "counts": lambda: count_boot(storms, self.site, hosts, self.figures),
            "storms": lambda: self.storms(storms, requests),
            "present": lambda: self.present(storms, requests),
        }
        for part, does in work.items():
            if part in self.args.only:
                began = time.monotonic()
                await does()
                print(f"run {number + 1}: {part} took {time.monotonic() - began:.0f} s", flush=True)

    async def storms(self, storms: Storms, requests: Requests) -> None:
        """Every number of servers with every number in flight, and away again."""
        for count in self.args.boots:
            for limit in self.args.in_flight:
                name = f"{count}.{limit}-in-flight"
                servers = await storms.boot(count, limit, f"boot.{name}")
                if limit == self.args.in_flight[-1] and count >= 1_000:
                    await requests.lists(count)
                    memory(self.site, self.figures, f"with-{count}-servers")
                await storms.delete(servers, limit, f"delete.{name}")

    async def present(self, storms: Storms, requests: Requests) -> None:
        """The same storm in an empty cloud and beside `--present` servers, and their lists."""
        limit, count = self.args.in_flight[0], self.args.storm
        await storms.delete(await storms.boot(count, limit, "boot.empty"), limit, "delete.empty")
        there = await storms.boot(self.args.present, 50, f"boot.fill-{self.args.present}")
        await storms.delete(await storms.boot(count, limit, "boot.beside"), limit, "delete.beside")
        await requests.lists(self.args.present)
        memory(self.site, self.figures, f"with-{self.args.present}-servers")
        await storms.delete(there, 50, f"delete.empty-{self.args.present}")
        runs = self.figures.runs
        slower = 100 * (1 - runs["boot.beside.rate"][-1] / runs["boot.empty.rate"][-1])
        self.figures.add("boot.slower-beside", "%", slower, servers=self.args.present)


async def logins(requests: Requests) -> None:
    """What logins and tokens that nobody has seen cost."""
    measured = Logins(requests.api, requests.figures, requests.seconds)
    await measured.fresh()
    await measured.beside()


async def idle_events(storms: Storms) -> None:
    """Events of servers that are booted one after another: nothing else is going on."""
    mark = len(storms.watch.latencies)
    servers = await storms.boot(IDLE_EVENTS, 1)
    storms.figures.add_spread("events.idle.latency", "ms", storms.watch.latencies[mark:])
    await storms.delete(servers, 10)


def memory(site: Site, figures: Figures, when: str) -> None:
    """PSS of each kind of process, and of all Python processes together."""
    sizes = {name: usage.pss_mib for name, usage in site.usage().items()}
    python = sum(size for name, size in sizes.items() if name not in NOT_OURS)
    figures.add(f"memory.{when}.python", "MiB", python, **by_kind(sizes))


def numbers(text: str) -> list[int]:
    """`100,1000` as a list."""
    return [int(part) for part in text.split(",")]


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="ops/bench", description=__doc__)
    parser.add_argument("--state", required=True, type=Path, help="state folder of the cloud")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {', '.join(PARTS)}; all of them")
    parser.add_argument("--boots", default=[100, 1000], type=numbers, help="servers of each storm (100,1000)")
    parser.add_argument("--in-flight", default=[20, 50], type=numbers, help="boots at a time (20,50)")
    parser.add_argument("--present", default=10_000, type=int, help="servers beside which a storm is repeated (10000)")
    parser.add_argument("--storm", default=500, type=int, help="servers of that storm (500)")
    parser.add_argument("--seconds", default=5.0, type=float, help="length of each rate test (5)")
    parser.add_argument("--repeat", default=1, type=int, metavar="R", help="runs; the median is shown (1)")
    parser.add_argument("--out", type=Path, help="write the figures there as JSON")
    args = parser.parse_args()
    args.only = args.only.split(",")
    if unknown := set(args.only) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    return args


def main() -> None:
    """Measure, print, write; what was measured is shown also when something went wrong later."""
    args, before = arguments(), machine()
    bench = Bench(args, Site(args.state))
    settings: dict[str, Any] = {**vars(args), "state": "", "out": ""}
    try:
        asyncio.run(bench.run())
    finally:
        print(", ".join(f"{key} {value}" for key, value in before.items()))
        print(bench.figures.table())
        if args.out:
            write_json(args.out, before, settings, bench.figures)


if __name__ == "__main__":
    main()

"""One seed, from an empty cloud through a storm to rest, and everybody moving out."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
import structlog

from simulation import invariants
from simulation.cloud import REPORT_SECONDS, Cloud, listen_to_logs
from simulation.dice import dice, entropy
from simulation.loop import Loop
from simulation.site import Site
from simulation.storm import Storm
from simulation.users import PROJECTS, Project, User, move_in, move_out
from skybus.bus.heart import WHOLE_BEATS

STEPS_SHOWN = 60
QUIET_SECONDS = 1500.0
"""Virtual time until nothing is on its way any more: deadlines, attempts, and undoing with attempts of its own."""
MENDED_SECONDS = WHOLE_BEATS * REPORT_SECONDS + 40.0
"""Virtual time from then on until all is well: by then every host has told all that is on it, and was set right."""
CLAIMS_SECONDS = 340.0
"""The same for claims of nobody, for which a reconciler looks every 300 s."""
LOOK_SECONDS = 3.0
SETTLED_SECONDS = 10.0
"""Two heartbeats of every host, at least."""


class Outcome(msgspec.Struct, kw_only=True):
    """What became of a seed."""

    seed: int
    broken: list[str]
    digest: str
    counts: dict[str, int]
    faults: list[str]
    last_steps: list[str]
    cpu_seconds: float
    virtual_seconds: float


def run(seed: int, site: Site, follow: Callable[[str], None] | None = None) -> Outcome:
    """Run a seed. The same seed does the same on every machine and in every process."""
    with buried():
        return _run(seed, site, follow)


@contextmanager
def buried() -> Iterator[None]:
    """Collect, in the end, what a simulation has killed; it is quiet about it."""
    hook = sys.unraisablehook
    try:
        yield
    finally:
        with warnings.catch_warnings(action="ignore"):
            gc.collect()
        sys.unraisablehook = hook
        gc.enable()
        structlog.reset_defaults()


def _run(seed: int, site: Site, follow: Callable[[str], None] | None) -> Outcome:
    began = time.process_time()
    statements = site.database.statements
    with simulation(seed, site, follow) as cloud:
        storm = Storm(cloud)
        broken = cloud.loop.run_until_complete(_story(cloud, storm))
        return Outcome(
            seed=seed,
            broken=broken,
            digest=cloud.trace.digest,
            counts=dict(cloud.trace.counts) | {"statements": site.database.statements - statements},
            faults=sorted(storm.kinds),
            last_steps=list(cloud.trace.lines)[-STEPS_SHOWN:] if broken else [],
            cpu_seconds=time.process_time() - began,
            virtual_seconds=cloud.loop.time(),
        )


async def _story(cloud: Cloud, storm: Storm) -> list[str]:
    watch = invariants.Watch(cloud)
    await cloud.begin()
    cloud.projects = [Project(name) for name in PROJECTS]
    await move_in(cloud)
    chance = dice(cloud.seed, "users")
    users = [
        User(cloud, cloud.projects[number % len(PROJECTS)], f"u{number}", dice(cloud.seed, f"user {number}"))
        for number in range(chance.choice((2, 3, 4)))
    ]
    blowing = asyncio.create_task(storm.blow())
    await asyncio.gather(*(user.live(chance.randint(8, 25), 1.5) for user in users))
    blowing.cancel()
    await asyncio.gather(blowing, return_exceptions=True)
    cloud.trace.note("calm", "-", "the storm is over")
    return await verdict(cloud, watch)


async def verdict(cloud: Cloud, watch: invariants.Watch) -> list[str]:
    """What is broken once all is calm: when the cloud has come to rest, and when everybody has moved out."""
    if seen := [*watch.broken, *cloud.crashes]:
        return [*dict.fromkeys(seen)]
    broken = await _settle(cloud, invariants.AT_REST)
    if not broken and not watch.broken and not cloud.crashes:
        await move_out(cloud)
        broken = await _settle(cloud, (*invariants.AT_REST, invariants.nothing_left))
    return [*dict.fromkeys([*watch.broken, *cloud.crashes, *broken])]


async def _settle(cloud: Cloud, checks: Sequence[Callable[[Cloud], Awaitable[list[str]]]]) -> list[str]:
    """Wait until every check is content, or no longer. What is still broken then is broken."""
    await asyncio.sleep(SETTLED_SECONDS)
    end = cloud.loop.time() + QUIET_SECONDS
    while await invariants.busy(cloud) and cloud.loop.time() < end:
        await asyncio.sleep(LOOK_SECONDS)
    calm = cloud.loop.time()
    while True:
        broken = [what for check in checks for what in await check(cloud)]
        patience = CLAIMS_SECONDS if all("claim" in what for what in broken) else MENDED_SECONDS
        if not broken or cloud.loop.time() >= calm + patience:
            return broken
        await asyncio.sleep(LOOK_SECONDS * 6)


@contextmanager
def simulation(seed: int, site: Site, follow: Callable[[str], None] | None = None) -> Iterator[Cloud]:
    """The cloud of a seed on a loop of its own, and nothing of it left afterwards."""
    site.reset()
    loop = Loop()
    loop.set_exception_handler(lambda _loop, context: None)
    gc.disable()
    try:
        with entropy(dice(seed, "entropy")):
            cloud = Cloud(seed, site, loop, follow)
            listen_to_logs(cloud)
            try:
                yield cloud
            finally:
                loop.run_until_complete(cloud.end())
    finally:
        # What died in the middle of something is garbage now, and what its `finally` says nobody's concern.
        sys.unraisablehook = lambda _what: None
        loop.close()
        site.database.committed = lambda statements: None

"""Tokens that are about to die, and how their death is held against two gateways."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from two_gateways import World, as_it_is, no_bus, only_events

SOON_SECONDS = 1.0
"""What the cloud promises."""
MODES = (as_it_is, only_events, no_bus)


@dataclass
class Case:
    """Tokens that die by what `act` does, and such that do not."""

    doomed: list[str]
    act: Callable[[], Awaitable[object]]
    spared: list[str] = field(default_factory=list)


Prepare = Callable[[World], Awaitable[Case]]


async def all_die(world: World, tokens: list[str]) -> None:
    """Wait until the other gateway believes none of them any more; fails when that takes too long."""
    began = time.monotonic()
    for token in tokens:
        while await world.believes(world.there, token):
            assert time.monotonic() - began < SOON_SECONDS, "still believed elsewhere"
            await asyncio.sleep(0.01)


async def hold(world: World, prepare: Prepare) -> None:
    """The doomed are good, and then good nowhere and for nothing; the spared stay good."""
    case = await prepare(world)
    for token in [*case.doomed, *case.spared]:
        assert await world.believes(world.here, token)
        assert await world.believes(world.there, token)
    await case.act()
    for token in case.doomed:
        assert not await world.believes(world.here, token), "believed where it was revoked"
    await all_die(world, case.doomed)
    for token in case.doomed:
        child = {"auth": {"identity": {"methods": ["token"], "token": {"id": token}}}}
        for part in (world.here, world.there):
            assert (await world.call("POST", "/auth/tokens", child, at=part)).status in (401, 404)
    for token in case.spared:
        assert await world.believes(world.here, token)
        assert await world.believes(world.there, token)

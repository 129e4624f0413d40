"""Churn: a server and a volume are made, the volume is attached and detached, and both go. Waits by events alone."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp

from bench.api import Api
from bench.world import World

STEP_SECONDS = 60.0
"""In which each step of a cycle has to be done."""
SERVER, VOLUME = "skybus.compute.server.", "skybus.volume.volume."
TYPES = [f"{SERVER}{what}.v1" for what in ("created", "deleted", "failed")]
TYPES += [f"{VOLUME}{what}.v1" for what in ("created", "attached", "detached", "deleted", "failed")]


class Churn:
    """Cycles over one cloud; `done` counts those that ended well, `failed` says why others did not."""

    def __init__(self, api: Api, world: World) -> None:
        self.api, self.world = api, world
        self.done = 0
        self.running = 0
        self.failed: list[str] = []
        self._awaited: dict[tuple[str, str], asyncio.Event] = {}
        self._numbers = itertools.count(1)
        self._listening = asyncio.Event()

    async def cycle(self) -> None:
        """One life. What goes wrong is noted; what was made is removed also then."""
        self.running += 1
        try:
            await self._live(next(self._numbers))
            self.done += 1
        except (RuntimeError, TimeoutError, aiohttp.ClientError) as error:
            self.failed.append(f"{type(error).__name__}: {error}")
        finally:
            self.running -= 1

    async def _live(self, number: int) -> None:
        body = {"volume": {"name": f"soak-{number}", "size": 1}}
        volume = (await self.api.call("POST", "block-storage", "/volumes", body))["volume"]["id"]
        server = ""
        try:
            answer = await self.api.call("POST", "compute", "/servers", self.world.server(f"soak-{number}"))
            server = answer["server"]["id"]
            await asyncio.gather(self._until(SERVER, "created", server), self._until(VOLUME, "created", volume))
            attached = {"volumeAttachment": {"volumeId": volume}}
            path = f"/servers/{server}/os-volume_attachments"
            await self.api.call("POST", "compute", path, attached)
            await self._until(VOLUME, "attached", volume)
            await self.api.raw("DELETE", "compute", f"{path}/{volume}")
            await self._until(VOLUME, "detached", volume)
        finally:
            if server:
                await self.api.raw("DELETE", "compute", f"/servers/{server}")
                await self._until(SERVER, "deleted", server)
            await self.api.raw("DELETE", "block-storage", f"/volumes/{volume}")
            await self._until(VOLUME, "deleted", volume)

    async def _until(self, what: str, happened: str, id_: str) -> None:
        key = (f"{what}{happened}.v1", id_)
        failed = (f"{what}failed.v1", id_)
        seen = self._awaited.setdefault(key, asyncio.Event())
        if failed[0] in TYPES:
            self._awaited[failed] = seen
        try:
            await asyncio.wait_for(seen.wait(), STEP_SECONDS)
        except TimeoutError:
            raise RuntimeError(f"{key[0]} of {id_} did not come within {STEP_SECONDS:.0f} s") from None
        finally:
            self._awaited.pop(key, None)
            self._awaited.pop(failed, None)

    async def listen(self) -> None:
        """Follow the events until cancelled; connects anew, from where it was, when the stream ends."""
        position = ""
        while True:
            query = {"type": ",".join(TYPES)} | ({"position": position} if position else {})
            url, no_limit = f"{self.api.urls['event-stream']}/stream", aiohttp.ClientTimeout(total=None)
            with suppress(aiohttp.ClientError):
                async with self.api.http.get(url, headers=self.api.headers, params=query, timeout=no_limit) as stream:
                    stream.raise_for_status()
                    self._listening.set()
                    async for line in stream.content:
                        if line.startswith(b"data: "):
                            event = json.loads(line[6:])
                            position = str(event["position"])
                            # Before anybody waits for it, too: an answer may come later than what it tells of.
                            self._awaited.setdefault((event["type"], event["subject"]), asyncio.Event()).set()
            await asyncio.sleep(1)

    async def peak(self, lanes: int, seconds: float) -> float:
        """Cycles per second with `lanes` of them at any time, for a short while."""
        began, before = time.monotonic(), self.done

        async def lane() -> None:
            while time.monotonic() - began < seconds:
                await self.cycle()

        await asyncio.gather(*(lane() for _ in range(lanes)))
        return (self.done - before) / (time.monotonic() - began)

    async def at(self, per_second: float, seconds: float, most: int) -> int:
        """Begin `per_second` cycles a second for `seconds`, whatever becomes of them; answers how many were left out
        because `most` ran already."""
        began, begun, left_out = time.monotonic(), 0, 0
        async with asyncio.TaskGroup() as cycles:
            while (passed := time.monotonic() - began) < seconds:
                while begun < passed * per_second:
                    begun += 1
                    if self.running < most:
                        cycles.create_task(self.cycle())
                    else:
                        left_out += 1
                await asyncio.sleep(0.05)
        return left_out


@asynccontextmanager
async def churning(api: Api, world: World) -> AsyncIterator[Churn]:
    """A churn that hears what happens, and whose token stays good."""
    churn = Churn(api, world)
    listener = asyncio.create_task(churn.listen())
    keeper = asyncio.create_task(_stay_logged_in(api))
    try:
        await asyncio.wait_for(churn._listening.wait(), 10)
        yield churn
    finally:
        for task in (listener, keeper):
            task.cancel()
        await asyncio.gather(listener, keeper, return_exceptions=True)


async def _stay_logged_in(api: Api, seconds: float = 900) -> None:
    while True:
        await asyncio.sleep(seconds)
        value, _ = await api.issue(api.password())
        api.headers = {"X-Auth-Token": value}

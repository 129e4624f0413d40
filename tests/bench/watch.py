"""The event stream: when what happened to which server, so that measuring costs the cloud no polling."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import datetime

import aiohttp

from bench.api import Api

REQUESTED = "skybus.compute.server.requested.v1"
PLACED = "skybus.compute.server.placed.v1"
CREATED = "skybus.compute.server.created.v1"
DELETED = "skybus.compute.server.deleted.v1"
FAILED = "skybus.compute.server.failed.v1"
TYPES = (REQUESTED, PLACED, CREATED, DELETED, FAILED)


class Watch:
    """Events of servers. `seen[type][server]` is when one arrived, `written` when the cloud says it was written."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.seen: dict[str, dict[str, float]] = {type_: {} for type_ in TYPES}
        self.written: dict[str, dict[str, float]] = {type_: {} for type_ in TYPES}
        self.latencies: list[float] = []
        """Of every event, from written to received, in ms; both by this machine's clock."""
        self.listening = asyncio.Event()
        self._ended: dict[str, asyncio.Event] = {}
        self._deleted = asyncio.Condition()

    async def run(self) -> None:
        """Read until cancelled."""
        url = f"{self.api.urls['event-stream']}/stream"
        no_limit = aiohttp.ClientTimeout(total=None)
        query = {"type": ",".join(TYPES)}
        async with self.api.http.get(url, headers=self.api.headers, params=query, timeout=no_limit) as response:
            response.raise_for_status()
            self.listening.set()
            async for line in response.content:
                if line.startswith(b"data: "):
                    await self._take(json.loads(line[6:]))

    async def _take(self, event: dict[str, str]) -> None:
        type_, server = event["type"], event["subject"]
        if type_ not in self.seen:
            return
        written = datetime.fromisoformat(event["time"]).timestamp()
        self.latencies.append((time.time() - written) * 1000)
        self.seen[type_][server] = time.monotonic()
        self.written[type_][server] = written
        if type_ in (CREATED, FAILED):
            self._ended.setdefault(server, asyncio.Event()).set()
        elif type_ == DELETED:
            async with self._deleted:
                self._deleted.notify_all()

    async def ended(self, server: str, seconds: float) -> None:
        """Return when the server is there or has failed. Raises TimeoutError."""
        await asyncio.wait_for(self._ended.setdefault(server, asyncio.Event()).wait(), seconds)
        del self._ended[server]

    async def gone(self, servers: Iterable[str], seconds: float) -> None:
        """Return when all of them are gone. Raises TimeoutError."""
        left = set(servers)

        def none_left() -> bool:
            left.difference_update(self.seen[DELETED])
            return not left

        async with asyncio.timeout(seconds), self._deleted:
            await self._deleted.wait_for(none_left)


@asynccontextmanager
async def watching(api: Api) -> AsyncIterator[Watch]:
    """A watch that listens."""
    watch = Watch(api)
    task = asyncio.create_task(watch.run())
    listening = asyncio.create_task(watch.listening.wait())
    try:
        await asyncio.wait({task, listening}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        if not watch.listening.is_set():
            listening.cancel()
            raise RuntimeError("the event stream did not begin") from (task.exception() if task.done() else None)
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

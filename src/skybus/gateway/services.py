"""What the handlers find by name: made once a process, kept true by the event log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import asyncpg
import structlog

from skybus.config import Config
from skybus.errors import CloudError
from skybus.identity.service import Identity
from skybus.image.store_fs import FsStore
from skybus.image.sweep import sweep_images
from skybus.store import Store
from skybus.store.tail import LoggedEvent, Tail

log = structlog.get_logger()

IMAGE_SWEEP_SECONDS = 600.0
"""Between two looks for image data that a killed upload left."""


class Services:
    """The pieces that handlers use besides the store."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config = config
        self.store = store
        self.images = FsStore(config.gateway.image_dir)
        self.identity: Identity
        self._events: asyncio.Queue[LoggedEvent] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def tokens(self) -> Any:
        """Issues and believes tokens."""
        return self.identity.tokens

    async def start(self, tail: Tail) -> None:
        """Keep identity's events from now on, read what holds, then apply what was kept."""
        tail.follow(self._events.put_nowait, "skybus.identity.%")
        config = self.config
        self.identity = await Identity.open(self.store, config.gateway, config.identity, config.security_compliance)
        self._tasks = [asyncio.create_task(self._follow_identity()), asyncio.create_task(self._sweep_images())]

    async def stop(self) -> None:
        """Give back threads and tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tasks:
            await self.identity.close()

    def by_name(self) -> Mapping[str, Any]:
        """All of them."""
        return {"store": self.store, "config": self.config, "images": self.images, **self.identity.services()}

    async def _follow_identity(self) -> None:
        while True:
            event = await self._events.get()
            try:
                await self.identity.apply_event(event.type, event.body)
            except Exception:
                log.exception("identity_event_not_applied", type=event.type, position=event.position)

    async def _sweep_images(self) -> None:
        while True:
            try:
                await sweep_images(self.store, self.images)
            except (CloudError, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("image_sweep_failed", reason=str(error))
            await asyncio.sleep(IMAGE_SWEEP_SECONDS)

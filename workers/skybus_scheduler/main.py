"""The scheduler's process."""

from __future__ import annotations

from skybus.bus.transport import Transport
from skybus.config import Config
from skybus.store import Store
from skybus.store.relay import Relay
from skybus_scheduler.worker import Scheduler


class Part:
    """The store, the relay and a scheduler."""

    def __init__(self, config: Config, transport: Transport) -> None:
        self.config = config
        self.transport = transport
        self.store = Store(config.need_database(), "scheduler")
        self.relay = Relay(self.store, transport)
        self.scheduler = Scheduler(self.store, transport)
        self._started = False

    @property
    def ready(self) -> bool:
        return self._started and self.transport.connected

    async def start(self) -> None:
        """Database, bus, relay, then work."""
        await self.store.open()
        await self.transport.open()
        await self.relay.start()
        await self.scheduler.start(prefetch=self.config.bus.prefetch)
        self._started = True

    async def stop(self) -> None:
        """The other way round."""
        await self.scheduler.stop(self.config.worker.grace_seconds)
        await self.relay.stop()
        await self.transport.close()
        await self.store.close()

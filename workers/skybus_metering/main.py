"""The metering worker's process."""

from __future__ import annotations

from skybus.bus.transport import Transport
from skybus.config import Config
from skybus.store import Store
from skybus_metering.worker import Metering


class Part:
    """The store and a metering worker. It publishes nothing, so it needs no relay."""

    def __init__(self, config: Config, transport: Transport) -> None:
        self.config = config
        self.transport = transport
        self.store = Store(config.need_database(), "metering")
        self.metering = Metering(self.store)
        self._started = False

    @property
    def ready(self) -> bool:
        return self._started and self.transport.connected

    async def start(self) -> None:
        """Database, bus, then work."""
        await self.store.open()
        await self.transport.open()
        await self.metering.start(self.transport, prefetch=self.config.bus.prefetch)
        self._started = True

    async def stop(self) -> None:
        """The other way round."""
        await self.metering.stop(self.config.worker.grace_seconds)
        await self.transport.close()
        await self.store.close()

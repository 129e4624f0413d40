"""What the workers of the control plane have in common: the store, a relay, the bus, and a worker on top."""

from __future__ import annotations

from typing import Protocol

from skybus.bus.transport import Transport
from skybus.config import Config
from skybus.store.relay import Relay
from skybus.store.store import Store


class Worker(Protocol):
    """What is started last and stopped first."""

    async def start(self, *, prefetch: int) -> None:
        """Take work."""
        ...

    async def stop(self, grace_seconds: float) -> None:
        """Finish what is in hand within the grace."""
        ...


class WorkerPart:
    """A worker's process. `worker` is set before it is started."""

    worker: Worker

    def __init__(self, name: str, config: Config, transport: Transport) -> None:
        self.config = config
        self.transport = transport
        self.store = Store(config.need_database(), name)
        self.relay = Relay(self.store, transport)
        self._started = False

    @property
    def ready(self) -> bool:
        return self._started and self.transport.connected

    async def start(self) -> None:
        """Database, bus, relay, then work."""
        await self.store.open()
        await self.transport.open()
        await self.relay.start()
        await self.worker.start(prefetch=self.config.bus.prefetch)
        self._started = True

    async def stop(self) -> None:
        """The other way round."""
        await self.worker.stop(self.config.worker.grace_seconds)
        await self.relay.stop()
        await self.transport.close()
        await self.store.close()

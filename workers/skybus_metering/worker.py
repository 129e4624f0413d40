"""Metering on the bus: every event that tells of a beginning or an end of existence. Any number of workers share the
queue."""

from __future__ import annotations

from skybus.bus.envelope import Envelope
from skybus.bus.message import Event, Message
from skybus.bus.runner import Runner
from skybus.bus.transport import Delivery, Transport
from skybus.errors import CloudError
from skybus.metering import existence
from skybus.metering.inbox import BINDINGS, EVENTS_QUEUE, NAME
from skybus.store import Store


class Metering:
    """One metering worker."""

    queue = NAME
    bindings = BINDINGS

    def __init__(self, store: Store) -> None:
        self.store = store
        self._runner: Runner | None = None

    async def start(self, transport: Transport, *, prefetch: int) -> None:
        """Take in events."""
        self._runner = Runner(transport, "metering", self._receive)
        await self._runner.consume(EVENTS_QUEUE, prefetch=prefetch)

    async def stop(self, grace_seconds: float) -> None:
        """Finish the events in hand."""
        if self._runner is not None:
            await self._runner.stop(grace_seconds)

    async def handle(self, envelope: Envelope, event: Event) -> None:
        """Make what the event tells durable. The same event again, or an older one late, does no harm."""
        async with self.store.transaction() as tx:
            await existence.handle(tx, envelope.id, event, project_id=envelope.project_id)

    async def _receive(self, delivery: Delivery, message: Message) -> None:
        if not isinstance(message, Event):
            raise CloudError(f"metering has no use for a {message.TYPE}", code="bus.not-for-us")
        await self.handle(delivery.envelope, message)

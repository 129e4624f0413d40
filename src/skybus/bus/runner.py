"""The one place that settles messages, binds their context and catches everything; handlers stay plain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from skybus.bus.context import Context, bound
from skybus.bus.envelope import ANSWERS, CONDUCTOR, Envelope, Post, seal
from skybus.bus.message import TYPES, Failed, Message, decode
from skybus.bus.transport import Consumer, Delivery, Queue, Settlement, Transport
from skybus.errors import CloudError, Outage

log = structlog.get_logger()

RETRY_SECONDS = (0.1, 5.0)
"""First and longest pause before a message is given back, so that its deliveries are not burnt in an instant."""

OUTAGE_SECONDS = (0.2, 2.0)
"""First and longest pause before a message is handled again that only an outage kept from being handled."""

Handler = Callable[[Delivery, Message], Awaitable[None]]
"""Makes the effect of a message durable. A `CloudError` says whether another try could help."""


class Runner:
    """Feeds the messages of a queue to a handler."""

    def __init__(self, transport: Transport, source: str, handler: Handler) -> None:
        self.transport = transport
        self.source = source
        self.handler = handler
        self._consumers: list[Consumer] = []

    async def consume(self, queue: Queue, *, prefetch: int) -> None:
        """Begin with another queue."""
        self._consumers.append(await self.transport.consume(queue, self.receive, prefetch=prefetch))

    async def stop(self, grace_seconds: float) -> None:
        """Take nothing more; finish what is in hand within the grace."""
        await asyncio.gather(*(consumer.stop(grace_seconds) for consumer in self._consumers))
        self._consumers = []

    async def receive(self, delivery: Delivery) -> Settlement:
        """Handle one delivery, and say what becomes of it."""
        envelope = delivery.envelope
        with (
            bound(context_of(envelope)),
            structlog.contextvars.bound_contextvars(message=envelope.type, message_id=envelope.id),
        ):
            try:
                message = understood(envelope)
            except CloudError as error:
                return await self._refuse(delivery, error)
            try:
                await self._handle(delivery, message)
            except CloudError as error:
                if not error.retry:
                    return await self._refuse(delivery, error)
                log.warning("message_failed", code=error.code, reason=error.reason, deliveries=delivery.deliveries)
            except Exception:
                log.exception("message_crashed", deliveries=delivery.deliveries)
            else:
                return Settlement.DONE
            await asyncio.sleep(min(RETRY_SECONDS[0] * 2**delivery.deliveries, RETRY_SECONDS[1]))
            return Settlement.RETRY

    async def _handle(self, delivery: Delivery, message: Message) -> None:
        """Handle, and sit an outage out with the message in hand: giving it back would count against a message that
        nothing is wrong with, and a few seconds without the database would send all that passes to the dead letters."""
        pause = OUTAGE_SECONDS[0]
        while True:
            try:
                await self.handler(delivery, message)
                return
            except Outage as error:
                log.warning("message_waits", code=error.code, reason=error.reason)
            await asyncio.sleep(pause)
            pause = min(pause * 2, OUTAGE_SECONDS[1])

    async def _refuse(self, delivery: Delivery, error: CloudError) -> Settlement:
        """To the dead letters; whoever waits for the answer to a command hears why."""
        envelope = delivery.envelope
        log.error("message_refused", code=error.code, reason=error.reason)
        if envelope.command_id and envelope.operation_id:
            refusal = Failed(code=error.code, reason=error.reason)
            await answer(self.transport, self.source, envelope, refusal)
        return Settlement.DEAD


def understood(envelope: Envelope) -> Message:
    """The message in `envelope`. Raises CloudError when its type is unknown or its body is not of that type."""
    kind = TYPES.get(envelope.type)
    if kind is None:
        raise CloudError(f"nobody here knows the message type {envelope.type!r}", code="bus.unknown-type")
    try:
        return decode(kind, envelope.body)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CloudError(f"the body is not a {envelope.type}: {error}", code="bus.malformed") from None


def context_of(envelope: Envelope) -> Context:
    """The context that an envelope carries."""
    return Context(
        request_id=envelope.request_id,
        project_id=envelope.project_id,
        operation_id=envelope.operation_id,
        traceparent=envelope.traceparent,
    )


async def answer(transport: Transport, source: str, command: Envelope, message: Message) -> None:
    """Send `message` to the conductor as the answer to `command`; return when the broker has it."""
    envelope = seal(message, source, command_id=command.command_id)
    await transport.publish([Post(exchange=ANSWERS, key=CONDUCTOR, envelope=envelope)])

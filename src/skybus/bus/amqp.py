"""The bus over AMQP 0-9-1: RabbitMQ 3.10 and later, right for 4.x.

Every durable queue is a quorum queue with an explicit delivery limit and dead-letter exchange; a failed delivery is
rejected, not nacked, because that is what counts towards the limit everywhere; prefetch is set for each consumer, on a
channel of its own; publishes are confirmed and pipelined.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import aio_pika
import aiormq
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError, PublishError
from aiormq.abc import DeliveredMessage

from skybus.bus.amqp_message import delivery_of, properties_of
from skybus.bus.envelope import ANSWERS, COMMANDS, DEAD, EVENTS, REPORTS, Post
from skybus.bus.transport import BusError, Consumer, Queue, Receive, Settlement, Unroutable
from skybus.config import Bus

log = structlog.get_logger()

EXCHANGES = {EVENTS: "topic", COMMANDS: "direct", ANSWERS: "direct", DEAD: "fanout"}
CONNECT_SECONDS = 5.0
DECLARE_SECONDS = (30.0, 0.1)
"""Deadline of a declaration, and what each queue adds: a quorum queue costs the broker some 10 to 20 ms of CPU."""
DECLARE_LANES = 8
"""Channels that declare at the same time, so that the broker's waits for the disk overlap."""
RECONNECT_SECONDS = (0.2, 5.0)
"""First and longest pause between two attempts to connect."""
NEVER = 1_000_000_000
"""Delivery limit of the dead-letter queue itself, which has nowhere to go on to. RabbitMQ 4 has a default of 20."""

LIGHT_MS = 120_000
"""How long a light queue keeps what nobody takes."""

_TROUBLE = (AMQPError, aiormq.AMQPError, OSError, TimeoutError, RuntimeError, asyncio.InvalidStateError)


@contextmanager
def trouble_of(doing: str) -> Iterator[None]:
    """Raises BusError, which says what was being done, for all that can go wrong with the broker.

    A connection that breaks off cancels what waits for it: that would end, without a word, the task of a caller whom
    nobody has cancelled.
    """
    try:
        yield
    except _TROUBLE as error:
        raise BusError(f"{doing}: {type(error).__name__}: {error}") from error
    except asyncio.CancelledError:
        if _told_to_stop():
            raise
        raise BusError(f"{doing}: the connection broke off") from None


def _told_to_stop() -> bool:
    """Whether the present task was cancelled itself, and not merely what it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class AmqpTransport:
    """One connection, kept up: while it is down consumers wait and publishes hold out until their deadline."""

    def __init__(self, config: Bus) -> None:
        self.config = config
        self.user = unquote(urlsplit(config.url).username or "guest")
        self._consumers: list[_Consumer] = []
        self._connection: AbstractConnection | None = None
        self._publisher: Any = None
        """The channel that publishes, below aio-pika: its objects for each message cost more than the message."""
        self._up = asyncio.Event()
        self._gone = asyncio.Event()
        """Set when the present connection, or a channel that is needed, was closed."""
        self._keeper: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        return self._up.is_set()

    async def open(self) -> None:
        self._keeper = asyncio.create_task(self._stay_connected())
        await self._wait_up(self.config.publish_seconds)

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._connection is not None:
            try:
                await asyncio.wait_for(self._connection.close(), 5)
            except _TROUBLE:
                pass
        self._up.clear()

    async def declare(self, queues: Sequence[Queue]) -> None:
        await self._wait_up(self.config.publish_seconds)
        try:
            async with asyncio.timeout(DECLARE_SECONDS[0] + DECLARE_SECONDS[1] * len(queues)):
                channel = await self._channel()
                for name, kind in EXCHANGES.items():
                    await channel.declare_exchange(name, kind, durable=True)
                await channel.close()
                lanes = (queues[lane::DECLARE_LANES] for lane in range(DECLARE_LANES))
                await asyncio.gather(*(self._declare_all(lane) for lane in lanes if lane))
        except _TROUBLE as error:
            raise BusError(f"declaring queues: {type(error).__name__}: {error}") from error

    async def publish(self, posts: Sequence[Post]) -> None:
        with trouble_of("publishing"):
            async with asyncio.timeout(self.config.publish_seconds):
                await self._up.wait()
                if len(posts) == 1:
                    await self._send(posts[0])
                    return
                outcomes = await asyncio.gather(*(self._send(post) for post in posts), return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for failure in failures:
            if not isinstance(failure, Unroutable):
                raise BusError(f"publishing: {type(failure).__name__}: {failure}") from failure
        if failures:
            raise failures[0]

    async def consume(self, queue: Queue, receive: Receive, *, prefetch: int) -> Consumer:
        consumer = _Consumer(self, queue, receive, prefetch)
        await self._wait_up(self.config.publish_seconds)
        with trouble_of(f"consuming {queue.name}"):
            await consumer.begin()
        # From now on every new connection begins it again.
        self._consumers.append(consumer)
        return consumer

    async def depth(self, queue: str) -> int | None:
        await self._wait_up(self.config.publish_seconds)
        with trouble_of(f"looking at {queue}"):
            channel = await self._channel()
            try:
                declared = await channel.declare_queue(queue, passive=True, timeout=CONNECT_SECONDS)
                return int(declared.declaration_result.message_count or 0)
            except aio_pika.exceptions.ChannelNotFoundEntity:
                return None
            finally:
                if not channel.is_closed:
                    await channel.close()

    def forget(self, consumer: _Consumer) -> None:
        """`consumer` has stopped for good."""
        if consumer in self._consumers:
            self._consumers.remove(consumer)

    async def _channel(self, *, confirms: bool = True) -> AbstractChannel:
        if self._connection is None:
            raise BusError("the broker is not connected")
        return await self._connection.channel(publisher_confirms=confirms, on_return_raises=confirms)

    async def _declare_all(self, queues: Sequence[Queue]) -> None:
        channel = await self._channel()
        for queue in queues:
            await self._declare(channel, queue)
        await channel.close()

    async def _declare(self, channel: AbstractChannel, queue: Queue) -> None:
        if queue.private:
            declared = await channel.declare_queue(queue.name, durable=False, exclusive=True, auto_delete=True)
        else:
            declared = await channel.declare_queue(queue.name, durable=True, arguments=self._arguments(queue))
        for exchange, key in queue.bindings:
            await declared.bind(exchange, key)

    def _arguments(self, queue: Queue) -> dict[str, Any]:
        if queue.light:
            return {"x-queue-type": "classic", "x-message-ttl": LIGHT_MS, "x-dead-letter-exchange": DEAD}
        arguments: dict[str, Any] = {"x-queue-type": "quorum"}
        if any(exchange == DEAD for exchange, _ in queue.bindings):
            return {**arguments, "x-delivery-limit": NEVER}
        return {
            **arguments,
            # The broker counts redeliveries, we count deliveries.
            "x-delivery-limit": self.config.delivery_limit - 1,
            "x-dead-letter-exchange": DEAD,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }

    async def _send(self, post: Post) -> None:
        try:
            await self._publisher.basic_publish(
                post.envelope.body,
                exchange=post.exchange,
                routing_key=post.key,
                properties=properties_of(post.envelope, self.user, persistent=post.key != REPORTS),
                mandatory=post.exchange in (COMMANDS, ANSWERS),
                wait=False,  # for the socket; it is the confirm that we wait for
            )
        except PublishError as error:
            raise Unroutable(f"no queue takes {post.key} from {post.exchange}") from error

    async def _wait_up(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._up.wait(), seconds)
        except TimeoutError:
            where = urlsplit(self.config.url)
            raise BusError(f"connecting to the broker at {where.hostname}:{where.port} as {self.user}") from None

    async def _stay_connected(self) -> None:
        pause = RECONNECT_SECONDS[0]
        while True:
            try:
                with trouble_of("connecting"):
                    await self._connect()
                pause = RECONNECT_SECONDS[0]
                await self._lost()
                log.warning("bus_connection_lost")
            except Exception as error:
                log.warning("bus_connection_failed", reason=f"{type(error).__name__}: {error}")
            self._up.clear()
            await self._drop()
            await asyncio.sleep(pause)
            pause = min(pause * 2, RECONNECT_SECONDS[1])

    async def _drop(self) -> None:
        """Close a connection that is only half set up, or of which a channel was closed."""
        if self._connection is not None and not self._connection.is_closed:
            try:
                with trouble_of("disconnecting"):
                    await asyncio.wait_for(self._connection.close(), CONNECT_SECONDS)
            except BusError:
                pass

    async def _lost(self) -> None:
        """Return when the present connection is of no use any more."""
        if self._connection is not None and not self._connection.is_closed:
            await self._gone.wait()

    def watch(self, channel: AbstractChannel) -> None:
        """Connect anew when the broker closes `channel`, as it does when an exchange was deleted or a consumer held a
        message for too long: the connection stays, and would say for ever that all is well."""
        channel.close_callbacks.add(self._note_gone)

    def unwatch(self, channel: AbstractChannel) -> None:
        """`channel` is closed by ourselves."""
        channel.close_callbacks.discard(self._note_gone)

    def _note_gone(self, *_: Any) -> None:
        self._gone.set()

    async def _connect(self) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            self._connection = await aio_pika.connect(self.config.url, heartbeat=10)
            self._gone.clear()
            self._connection.close_callbacks.add(self._note_gone)
            channel = await self._channel()
            self.watch(channel)
            self._publisher = await channel.get_underlay_channel()
        for consumer in list(self._consumers):
            await consumer.begin()
        self._up.set()


class _Consumer:
    def __init__(self, transport: AmqpTransport, queue: Queue, receive: Receive, prefetch: int) -> None:
        self.transport, self.queue, self.receive, self.prefetch = transport, queue, receive, prefetch
        self._channel: AbstractChannel | None = None
        self._raw: Any = None
        self._tag = ""
        self._tasks: set[asyncio.Task[Any]] = set()

    async def begin(self) -> None:
        """Consume on a fresh channel of the present connection."""
        self._channel = await self.transport._channel(confirms=False)
        await self._channel.set_qos(prefetch_count=self.prefetch)
        if self.queue.private:  # others are there: a host's account may read its queue and may not declare it
            await self.transport._declare(self._channel, self.queue)
        self._raw = await self._channel.get_underlay_channel()
        begun = await self._raw.basic_consume(self.queue.name, self._arrived, timeout=CONNECT_SECONDS)
        self._tag = begun.consumer_tag
        self.transport.watch(self._channel)

    async def stop(self, grace_seconds: float = 10.0) -> None:
        self.transport.forget(self)
        try:
            if self._raw is not None:
                await self._raw.basic_cancel(self._tag, timeout=CONNECT_SECONDS)
        except _TROUBLE:
            pass
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        try:
            if self._channel is not None:
                self.transport.unwatch(self._channel)
                await self._channel.close()
        except _TROUBLE:
            pass

    async def _arrived(self, message: DeliveredMessage) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            settlement = await self.receive(delivery_of(message, self.queue.name))
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("receive_crashed", queue=self.queue.name)
            settlement = Settlement.RETRY
        try:
            channel, tag = message.channel, message.delivery_tag or 0
            if settlement is Settlement.DONE or (settlement is Settlement.RETRY and self.queue.light):
                await channel.basic_ack(tag, wait=False)
            else:
                await channel.basic_reject(tag, requeue=settlement is Settlement.RETRY, wait=False)
        except _TROUBLE as error:
            # The connection went while we worked: the broker delivers again, and the handler finds its work done.
            log.info("settle_failed", queue=self.queue.name, reason=f"{type(error).__name__}: {error}")

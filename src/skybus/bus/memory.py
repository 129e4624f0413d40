"""The bus inside one process: what RabbitMQ does for us, as far as we rely on it, in plain Python.

For simulation, for the one-process cloud and for tests. Nothing outlives the process; the outbox sends again what a
restart lost, since a message leaves it only when it was published.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from skybus.bus.envelope import ANSWERS, COMMANDS, DEAD, EVENTS, Post
from skybus.bus.transport import BusError, Consumer, Delivery, Queue, Receive, Settlement, Unroutable

log = structlog.get_logger()


def topic_matches(pattern: str, key: str) -> bool:
    """AMQP topic matching: `*` is one word, `#` any number of them."""
    return _match(pattern.split("."), key.split("."))


def _match(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_match(pattern[1:], words[i:]) for i in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and _match(pattern[1:], words[1:])


class _Queue:
    def __init__(self, queue: Queue) -> None:
        self.name = queue.name
        self.light = queue.light
        self.bindings = set(queue.bindings)
        self.messages: deque[Delivery] = deque()
        self.consumers: list[_Consumer] = []

    def takes(self, exchange: str, key: str) -> bool:
        if exchange == EVENTS:
            return any(at == exchange and topic_matches(pattern, key) for at, pattern in self.bindings)
        if exchange == DEAD:
            return any(at == exchange for at, _ in self.bindings)
        return (exchange, key) in self.bindings

    def pump(self) -> None:
        """Hand messages to consumers that have room, in turn."""
        while self.messages:
            ready = [consumer for consumer in self.consumers if consumer.room > 0]
            if not ready:
                return
            consumer = max(ready, key=lambda one: one.room)
            consumer.take(self.messages.popleft())


class MemoryBroker:
    """The exchanges and queues; every `MemoryTransport` of a process shares one."""

    def __init__(self, *, delivery_limit: int = 5) -> None:
        self.delivery_limit = delivery_limit
        self.queues: dict[str, _Queue] = {}

    def declare(self, queue: Queue) -> _Queue:
        known = self.queues.get(queue.name)
        if known is None:
            known = self.queues[queue.name] = _Queue(queue)
        known.bindings |= set(queue.bindings)
        return known

    def route(self, post: Post, user: str) -> None:
        takers = [queue for queue in self.queues.values() if queue.takes(post.exchange, post.key)]
        if not takers and post.exchange in (COMMANDS, ANSWERS):
            raise Unroutable(f"no queue takes {post.key} from {post.exchange}")
        for queue in takers:
            queue.messages.append(
                Delivery(
                    envelope=post.envelope,
                    queue=queue.name,
                    deliveries=0,
                    user=user,
                    exchange=post.exchange,
                    key=post.key,
                )
            )
            queue.pump()

    def settle(self, queue: _Queue, delivery: Delivery, settlement: Settlement) -> None:
        if settlement is Settlement.DONE or (settlement is Settlement.RETRY and queue.light):
            return
        if settlement is Settlement.RETRY and delivery.deliveries + 1 < self.delivery_limit:
            self.give_back(queue, delivery, delivery.deliveries + 1)
            return
        reason = "rejected" if settlement is Settlement.DEAD else "delivery_limit"
        for dead in self.queues.values():
            if dead.takes(DEAD, "") and dead is not queue:
                dead.messages.append(
                    Delivery(
                        envelope=delivery.envelope,
                        queue=dead.name,
                        deliveries=0,
                        user=delivery.user,
                        died_in=queue.name,
                        died_of=reason,
                        exchange=delivery.exchange,
                        key=delivery.key,
                    )
                )
                dead.pump()

    def give_back(self, queue: _Queue, delivery: Delivery, deliveries: int) -> None:
        again = Delivery(
            envelope=delivery.envelope,
            queue=queue.name,
            deliveries=deliveries,
            user=delivery.user,
            died_in=delivery.died_in,
            died_of=delivery.died_of,
            exchange=delivery.exchange,
            key=delivery.key,
        )
        queue.messages.appendleft(again)
        queue.pump()


class _Consumer:
    def __init__(self, broker: MemoryBroker, queue: _Queue, receive: Receive, prefetch: int, private: bool) -> None:
        self.broker, self.queue, self.receive, self.room, self.private = broker, queue, receive, prefetch, private
        self.tasks: set[asyncio.Task[None]] = set()

    def take(self, delivery: Delivery) -> None:
        self.room -= 1
        task = asyncio.create_task(self._work(delivery))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _work(self, delivery: Delivery) -> None:
        try:
            settlement = await self.receive(delivery)
        except asyncio.CancelledError:
            self.room += 1
            self.broker.give_back(self.queue, delivery, delivery.deliveries + 1)
            raise
        except Exception:
            log.exception("receive_crashed", queue=self.queue.name)
            settlement = Settlement.RETRY
        self.room += 1
        self.broker.settle(self.queue, delivery, settlement)
        self.queue.pump()

    async def stop(self, grace_seconds: float = 10.0) -> None:
        if self in self.queue.consumers:
            self.queue.consumers.remove(self)
        self.room = -1_000_000
        if self.tasks:
            _, late = await asyncio.wait(self.tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self.private:
            self.broker.queues.pop(self.queue.name, None)


class MemoryTransport:
    """One worker's connection to a `MemoryBroker`, under the account name `user`."""

    def __init__(self, broker: MemoryBroker, user: str = "") -> None:
        self.broker = broker
        self.user = user
        self.consumers: list[_Consumer] = []
        self.connected = False

    async def open(self) -> None:
        self.connected = True

    async def close(self) -> None:
        self.connected = False
        for consumer in self.consumers:
            await consumer.stop(0)
        self.consumers = []

    async def declare(self, queues: Sequence[Queue]) -> None:
        for queue in queues:
            self.broker.declare(queue)

    async def publish(self, posts: Sequence[Post]) -> None:
        if not self.connected:
            raise BusError("publishing: the transport is closed")
        for post in posts:
            self.broker.route(post, self.user)

    async def consume(self, queue: Queue, receive: Receive, *, prefetch: int) -> Consumer:
        here = self.broker.declare(queue)
        consumer = _Consumer(self.broker, here, receive, prefetch, queue.private)
        here.consumers.append(consumer)
        self.consumers.append(consumer)
        here.pump()
        return consumer

    async def depth(self, queue: str) -> int | None:
        here = self.broker.queues.get(queue)
        return None if here is None else len(here.messages)

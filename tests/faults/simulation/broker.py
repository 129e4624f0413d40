"""A broker that does what RabbitMQ may do at its worst, and no more: late, twice, in another order, gone for a while.

A message that was confirmed stays until it was acknowledged, unless the broker's data are wiped. What a lost connection
held unacknowledged is delivered again, which counts towards the delivery limit.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence

import msgspec
import structlog

from simulation.dice import Dice
from simulation.loop import LIFE
from skybus.bus.envelope import ANSWERS, COMMANDS, DEAD, EVENTS, Post
from skybus.bus.memory import topic_matches
from skybus.bus.transport import BusError, Consumer, Delivery, Queue, Receive, Settlement, Unroutable

log = structlog.get_logger()

CONNECT_AGAIN_SECONDS = (0.2, 5.0)
PUBLISH_SECONDS = 10.0
"""As long as the real transport holds out."""


class Weather(msgspec.Struct, kw_only=True):
    """How bad it is: probabilities for one message, and seconds."""

    delay: float = 0.002
    """Mean time from the queue to the consumer."""
    late: float = 0.0
    late_seconds: float = 3.0
    """How often a message takes much longer than that, and how long."""
    double: float = 0.0
    """It is there twice."""
    unacked: float = 0.0
    """Its acknowledgement is lost, so it is delivered again."""
    refused: float = 0.0
    """The publisher sees an error; the message may be there or not."""
    unheard: float = 0.0
    """The publisher hears nothing; the message may be there or not."""


class _Queue:
    def __init__(self, queue: Queue) -> None:
        self.name, self.bindings, self.private = queue.name, set(queue.bindings), queue.private
        self.messages: list[Delivery] = []
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
            max(ready, key=lambda one: one.room).take(self.messages.pop(0))


class Broker:
    """Exchanges and queues. `note` is told of every delivery."""

    def __init__(self, dice: Dice, note: Callable[[str, str, str], None], *, delivery_limit: int = 20) -> None:
        self.dice, self.note, self.delivery_limit = dice, note, delivery_limit
        self.weather = Weather()
        self.up = True
        self.queues: dict[str, _Queue] = {}
        self.transports: list[Transport] = []

    def declare(self, queue: Queue) -> _Queue:
        known = self.queues.setdefault(queue.name, _Queue(queue))
        known.bindings |= set(queue.bindings)
        return known

    def route(self, post: Post, user: str) -> None:
        takers = [queue for queue in self.queues.values() if queue.takes(post.exchange, post.key)]
        if not takers and post.exchange in (COMMANDS, ANSWERS):
            raise Unroutable(f"no queue takes {post.key} from {post.exchange}")
        for queue in takers:
            one = Delivery(
                envelope=post.envelope, queue=queue.name, deliveries=0, user=user, exchange=post.exchange, key=post.key
            )
            queue.messages += [one, one] if self.dice.chance(self.weather.double) else [one]
            queue.pump()

    def give_back(self, queue: _Queue, delivery: Delivery) -> None:
        """Deliver it once more, or not if that was too often."""
        again = msgspec.structs.replace(delivery, deliveries=delivery.deliveries + 1)
        if self.queues.get(queue.name) is not queue:
            return
        if again.deliveries >= self.delivery_limit and not any(at == DEAD for at, _ in queue.bindings):
            self.bury(queue, delivery, "delivery_limit")
            return
        queue.messages.insert(0, again)
        queue.pump()

    def bury(self, queue: _Queue, delivery: Delivery, reason: str) -> None:
        """To the dead letters."""
        self.note("dead", queue.name, f"{delivery.envelope.type} {reason}")
        for dead in list(self.queues.values()):
            if dead.takes(DEAD, "") and dead is not queue:
                dead.messages.append(
                    msgspec.structs.replace(delivery, queue=dead.name, deliveries=0, died_in=queue.name, died_of=reason)
                )
                dead.pump()

    def stop(self) -> None:
        """Break every connection, and take none."""
        self.up = False
        for transport in list(self.transports):
            transport.lose()

    def start(self, *, wiped: bool = False) -> None:
        """Come back, with or without what was in the durable queues."""
        if wiped:
            self.queues = {}
        self.up = True
        for transport in list(self.transports):
            transport.regain()

    @property
    def waiting(self) -> int:
        """Messages that are in nobody's hands. Some always are in somebody's: hearts beat."""
        return sum(len(queue.messages) for queue in self.queues.values())


class _Consumer:
    def __init__(self, transport: Transport, queue: Queue, receive: Receive, prefetch: int) -> None:
        self.transport, self.asked, self.receive, self.prefetch = transport, queue, receive, prefetch
        self.room = 0
        self.session = 0
        """Grows with each connection: what an older one delivered is no longer this one's to acknowledge."""
        self.queue: _Queue | None = None
        self.unacked: dict[int, Delivery] = {}
        self.tasks: dict[asyncio.Task[None], None] = {}
        self._tag = 0

    @property
    def possible(self) -> bool:
        """Whether its queue is there; nobody but a private one's consumer makes it in passing."""
        return self.asked.private or self.asked.name in self.transport.broker.queues

    def begin(self) -> None:
        """Consume on the present connection."""
        broker = self.transport.broker
        self.session += 1
        self.room = self.prefetch
        self.queue = broker.declare(self.asked) if self.asked.private else broker.queues[self.asked.name]
        self.queue.consumers.append(self)
        self.queue.pump()

    def end(self) -> None:
        """Consume no more; what is unacknowledged goes to somebody else."""
        queue, self.queue, self.room = self.queue, None, 0
        if queue is None:
            return
        queue.consumers.remove(self)
        self.session += 1
        back, self.unacked = list(self.unacked.values()), {}
        if self.asked.private:
            self.transport.broker.queues.pop(queue.name, None)
            return
        for delivery in reversed(back):
            self.transport.broker.give_back(queue, delivery)

    def take(self, delivery: Delivery) -> None:
        """A delivery is on its way here."""
        broker = self.transport.broker
        self.room -= 1
        self._tag += 1
        self.unacked[self._tag] = delivery
        wait = broker.dice.about(broker.weather.delay)
        if broker.dice.chance(broker.weather.late):
            wait += broker.dice.about(broker.weather.late_seconds)
        loop = asyncio.get_running_loop()
        loop.call_later(wait, self._arrive, self._tag, self.session, context=self.transport.context)

    def _arrive(self, tag: int, session: int) -> None:
        if session == self.session:
            task = asyncio.create_task(self._work(tag, session, self.unacked[tag]))
            self.tasks[task] = None
            task.add_done_callback(self.tasks.pop)

    async def _work(self, tag: int, session: int, delivery: Delivery) -> None:
        self.transport.broker.note("deliver", self.transport.name, f"{delivery.envelope.type} {delivery.envelope.id}")
        try:
            settlement = await self.receive(delivery)
        except Exception:
            log.exception("receive_crashed", queue=delivery.queue)
            settlement = Settlement.RETRY
        if session == self.session and self.queue is not None:
            self._settle(self.queue, tag, settlement)

    def _settle(self, queue: _Queue, tag: int, settlement: Settlement) -> None:
        broker, delivery = self.transport.broker, self.unacked.pop(tag)
        self.room += 1
        if settlement is Settlement.DEAD:
            broker.bury(queue, delivery, "rejected")
        elif settlement is Settlement.RETRY or broker.dice.chance(broker.weather.unacked):
            broker.give_back(queue, delivery)
        queue.pump()

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """As the transport's protocol has it."""
        if self in self.transport.consumers:
            self.transport.consumers.remove(self)
        self.room = -1_000_000
        if self.tasks:
            await asyncio.wait(list(self.tasks), timeout=grace_seconds)
            for task in list(self.tasks):
                task.cancel()
        self.end()


class Transport:
    """The connection of one process, under the account `user`. Made in the context of its process."""

    def __init__(self, broker: Broker, user: str) -> None:
        self.broker, self.user = broker, user
        self.consumers: list[_Consumer] = []
        self.context = contextvars.copy_context()
        life = LIFE.get()
        self.name = life.name if life is not None else user
        self._up = asyncio.Event()
        self._connections = 0

    @property
    def connected(self) -> bool:
        """Whether messages flow."""
        return self._up.is_set()

    async def open(self) -> None:
        """Connect, or be connected when the broker is back."""
        self.broker.transports.append(self)
        if self.broker.up:
            self._up.set()
        await self._connected("connecting")

    async def close(self) -> None:
        """Disconnect."""
        self.drop()
        for consumer in self.consumers:
            for task in list(consumer.tasks):
                task.cancel()

    def drop(self) -> None:
        """The process is gone."""
        if self in self.broker.transports:
            self.broker.transports.remove(self)
        self.lose()

    def lose(self) -> None:
        """The connection breaks."""
        self._up.clear()
        self._connections += 1
        for consumer in self.consumers:
            consumer.end()

    def regain(self, pause: float = CONNECT_AGAIN_SECONDS[0]) -> None:
        """The broker is back: connect in a moment, as soon as all the queues are there that are consumed."""
        loop = asyncio.get_running_loop()
        loop.call_later(self.broker.dice.about(pause), self._connect, pause, context=self.context)

    def _connect(self, pause: float) -> None:
        if not self.broker.up or self.connected or self not in self.broker.transports:
            return
        if not all(consumer.possible for consumer in self.consumers):
            self.regain(min(pause * 2, CONNECT_AGAIN_SECONDS[1]))
            return
        for consumer in self.consumers:
            consumer.begin()
        self._up.set()

    async def declare(self, queues: Sequence[Queue]) -> None:
        """Make the queues."""
        await self._connected("declaring queues")
        for queue in queues:
            self.broker.declare(queue)

    async def publish(self, posts: Sequence[Post]) -> None:
        """As the protocol has it, with what may go wrong on the way there and back."""
        await self._connected("publishing")
        connection, dice, weather = self._connections, self.broker.dice, self.broker.weather
        await asyncio.sleep(dice.about(weather.delay))
        if connection != self._connections:
            raise BusError("publishing: the connection was lost")
        refused, unheard = dice.chance(weather.refused), dice.chance(weather.unheard)
        arrives = not (refused or unheard) or dice.chance(0.5)
        lost = self._route(posts) if arrives else None
        if unheard:
            await asyncio.sleep(PUBLISH_SECONDS)
        if refused or unheard:
            raise BusError("publishing: no confirm")
        await asyncio.sleep(dice.about(weather.delay))
        if connection != self._connections:
            raise BusError("publishing: the connection was lost before the confirm")
        if lost is not None:
            raise lost

    def _route(self, posts: Sequence[Post]) -> Unroutable | None:
        lost = None
        for post in posts:
            try:
                self.broker.route(post, self.user)
            except Unroutable as error:
                lost = error
        return lost

    async def consume(self, queue: Queue, receive: Receive, *, prefetch: int) -> Consumer:
        """As the protocol has it."""
        await self._connected(f"consuming {queue.name}")
        consumer = _Consumer(self, queue, receive, prefetch)
        if not consumer.possible:
            raise BusError(f"consuming {queue.name}: there is no such queue")
        self.consumers.append(consumer)
        consumer.begin()
        return consumer

    async def depth(self, queue: str) -> int | None:
        """Messages that wait."""
        here = self.broker.queues.get(queue)
        return None if here is None else len(here.messages)

    async def _connected(self, what: str) -> None:
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._up.wait()
        except TimeoutError:
            raise BusError(f"{what}: the broker is away") from None

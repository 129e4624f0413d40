"""What a transport must do: two exist, AMQP and memory, and one test suite holds both to this."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Protocol

import msgspec

from skybus.bus.envelope import COMMANDS, Envelope, Post


class BusError(Exception):
    """The bus did not do in time what was asked; the message says what that was. Asking again may help."""


class Unroutable(BusError):
    """No queue takes a command or an answer that was published."""


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue and what flows into it. Durable queues are shared by all who consume them; a private one is its
    consumer's alone and gone with it."""

    name: str
    bindings: tuple[tuple[str, str], ...] = ()
    """(exchange, routing key or pattern)."""
    private: bool = False
    light: bool = False
    """What flows through it comes again by itself, as heartbeats do: it is kept in memory and gone with the broker, and
    a delivery that fails is not tried again."""


class Settlement(Enum):
    """What becomes of a delivery."""

    DONE = "done"
    """The effect is durable: the message is forgotten."""
    RETRY = "retry"
    """Deliver it again; counts towards the delivery limit."""
    DEAD = "dead"
    """Nobody will ever understand it: to the dead letters."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it arrives."""

    envelope: Envelope
    queue: str
    deliveries: int
    """How often it was delivered before."""
    user: str = ""
    """The account that sent it, checked by the broker; empty where the transport has none."""
    died_in: str = ""
    """On a dead letter: the queue it died in."""
    died_of: str = ""
    """On a dead letter: the broker's reason."""
    exchange: str = ""
    key: str = ""


Receive = Callable[[Delivery], Awaitable[Settlement]]


class Consumer(Protocol):
    """A running consumer."""

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Take nothing more, finish what is in hand within the grace, leave the rest to redelivery."""
        ...


class Transport(Protocol):
    """A connection to the bus. Survives a restart of the broker: consumers resume, publishes wait their deadline."""

    @property
    def connected(self) -> bool:
        """Whether messages flow at this moment."""
        ...

    async def open(self) -> None:
        """Connect. Raises BusError when that does not succeed within the deadline."""
        ...

    async def close(self) -> None:
        """Disconnect; unacknowledged deliveries go to somebody else."""
        ...

    async def declare(self, queues: Sequence[Queue]) -> None:
        """Make the exchanges and these queues, durable and with a dead-letter exchange, unless they are there."""
        ...

    async def publish(self, posts: Sequence[Post]) -> None:
        """Send all; return when the broker has confirmed every one. Raises BusError, or Unroutable for a command or
        an answer that no queue takes; some of the posts may have been taken then."""
        ...

    async def consume(self, queue: Queue, receive: Receive, *, prefetch: int) -> Consumer:
        """Call `receive` with each delivery, at most `prefetch` at a time, in the order of arrival."""
        ...

    async def depth(self, queue: str) -> int | None:
        """Messages waiting in the queue; None when there is no such queue."""
        ...


def command_queue(address: str) -> Queue:
    """The queue of the worker at `address`."""
    return Queue(name=f"skybus.command.{address}", bindings=((COMMANDS, address),))

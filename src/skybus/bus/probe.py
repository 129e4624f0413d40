"""Whether the bus works, and not merely listens."""

from __future__ import annotations

import asyncio

from skybus.bus.envelope import COMMANDS, Post, seal
from skybus.bus.message import Failed
from skybus.bus.transport import BusError, Delivery, Settlement, Transport, command_queue

ADDRESS = "probe"
SECONDS = 10.0
"""For the way there and back."""


async def message_goes_round(transport: Transport, *, seconds: float = SECONDS) -> None:
    """Send a message through a durable queue and take it out again. Raises BusError when it does not come back: a
    broker whose disk was full may listen and answer, and keep nothing."""
    back = asyncio.Event()

    async def receive(_: Delivery) -> Settlement:
        back.set()
        return Settlement.DONE

    await transport.declare([command_queue(ADDRESS)])
    probe = seal(Failed(code="bus.probe", reason="Nothing has failed."), ADDRESS)
    await transport.publish([Post(exchange=COMMANDS, key=ADDRESS, envelope=probe)])
    consumer = await transport.consume(command_queue(ADDRESS), receive, prefetch=1)
    try:
        await asyncio.wait_for(back.wait(), seconds)
    except TimeoutError:
        raise BusError(f"a message did not come back from the broker within {seconds:g} s") from None
    finally:
        await consumer.stop(1)

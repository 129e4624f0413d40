"""A bus that listens and keeps nothing is found out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from skybus.bus.envelope import Post
from skybus.bus.memory import MemoryBroker, MemoryTransport
from skybus.bus.probe import message_goes_round
from skybus.bus.transport import BusError
from support.buses import amqp_broker


class Forgetful(MemoryTransport):
    """Takes every message and keeps none."""

    async def publish(self, posts: Sequence[Post]) -> None:
        pass


async def test_a_message_goes_round_again_and_again_and_leaves_nothing() -> None:
    async with amqp_broker() as broker:
        transport = await broker.transport()
        await message_goes_round(transport)
        await message_goes_round(transport)
        assert await transport.depth("skybus.command.probe") == 0


async def test_a_message_that_does_not_come_back_is_trouble() -> None:
    transport = Forgetful(MemoryBroker())
    await transport.open()
    with pytest.raises(BusError, match="did not come back"):
        await message_goes_round(transport, seconds=0.05)

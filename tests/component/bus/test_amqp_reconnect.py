"""A broker that breaks off: consumers resume, publishes hold out, nothing is lost and nothing consumed twice over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aio_pika
import pytest

from skybus.bus.amqp import AmqpTransport, trouble_of
from skybus.bus.envelope import COMMANDS, EVENTS, Post, seal
from skybus.bus.transport import BusError, Delivery, Queue, Settlement, Transport, command_queue
from skybus.messages.compute import HostChanged, StartGuest
from support.buses import Broker, amqp_broker, rabbitmqctl

WORKER = command_queue("compute.h1")


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with amqp_broker() as made:
        await (await made.transport()).declare([WORKER])
        yield made


async def break_off(broker: Broker) -> None:
    """The broker closes every connection of the test's virtual host, and of nobody else."""
    await rabbitmqctl("close_all_connections", "--vhost", broker.vhost, "a test")


def order(server_id: str) -> Post:
    return Post(exchange=COMMANDS, key="compute.h1", envelope=seal(StartGuest(server_id=server_id), "conductor"))


class Kept:
    """Subjects of what has arrived."""

    def __init__(self) -> None:
        self.got: list[str] = []

    async def __call__(self, delivery: Delivery) -> Settlement:
        self.got.append(delivery.envelope.subject)
        return Settlement.DONE

    async def until(self, expected: set[str]) -> None:
        async with asyncio.timeout(20):
            while not expected <= set(self.got):
                await asyncio.sleep(0.02)


async def published(transport: Transport, post: Post) -> None:
    """Publish as the relay does: again until it is confirmed."""
    async with asyncio.timeout(20):
        while True:
            try:
                await transport.publish([post])
                return
            except Exception:
                await asyncio.sleep(0.05)


async def test_consumers_resume_and_every_confirmed_message_arrives(broker: Broker) -> None:
    transport, kept, heard = broker.opened[0], Kept(), Kept()
    await transport.consume(WORKER, kept, prefetch=4)
    await transport.consume(Queue(name="mine", bindings=((EVENTS, "#"),), private=True), heard, prefetch=4)
    await transport.publish([order("before")])
    breaking = asyncio.create_task(break_off(broker))
    sent = 0
    while not breaking.done():
        await published(transport, order(f"s{sent}"))
        sent += 1
        await asyncio.sleep(0.02)
    await breaking
    await published(transport, order("after"))
    await kept.until({"before", "after", *(f"s{number}" for number in range(sent))})
    event = HostChanged(host="h1", change="up")
    await published(transport, Post(exchange=EVENTS, key=event.TYPE, envelope=seal(event, "conductor")))
    await heard.until({"h1"})
    assert transport.connected


async def test_what_was_in_hand_when_the_connection_went_is_delivered_again(broker: Broker) -> None:
    transport, begun, tries = broker.opened[0], asyncio.Event(), 0
    released = asyncio.Event()

    async def slow(delivery: Delivery) -> Settlement:
        nonlocal tries
        tries += 1
        begun.set()
        if tries == 1:
            await released.wait()
        return Settlement.DONE

    await transport.consume(WORKER, slow, prefetch=1)
    await transport.publish([order("s1")])
    await asyncio.wait_for(begun.wait(), 10)
    await break_off(broker)
    async with asyncio.timeout(20):
        while tries < 2:
            await asyncio.sleep(0.02)
    released.set()
    async with asyncio.timeout(10):
        while await transport.depth(WORKER.name) != 0:
            await asyncio.sleep(0.05)


async def test_a_queue_has_one_consumer_after_each_break(broker: Broker) -> None:
    transport, kept = broker.opened[0], Kept()
    consumer = await transport.consume(WORKER, kept, prefetch=4)
    for number in range(2):
        await break_off(broker)
        await published(transport, order(f"s{number}"))
        await kept.until({f"s{number}"})
    listed = await rabbitmqctl("list_consumers", "-p", broker.vhost, "queue_name")
    assert listed.split() == ["queue_name", WORKER.name] or listed.split() == [WORKER.name]
    await consumer.stop(2)
    await break_off(broker)
    await published(transport, order("for the next one"))
    await asyncio.wait_for(_depth_is(transport, 1), 15)
    assert "for the next one" not in kept.got, "a stopped consumer stays stopped"


async def _depth_is(transport: Transport, count: int) -> None:
    while await transport.depth(WORKER.name) != count:
        await asyncio.sleep(0.05)


async def test_a_channel_that_the_broker_closes_does_not_stay_closed(broker: Broker) -> None:
    transport, kept = broker.opened[0], Kept()
    assert isinstance(transport, AmqpTransport)
    await transport.consume(WORKER, kept, prefetch=4)
    admin = await aio_pika.connect(broker.url())
    async with admin, admin.channel() as channel:
        await channel.exchange_delete(EVENTS)
    event = HostChanged(host="h1", change="up")
    with pytest.raises(BusError):
        # The broker closes the channel of a publisher who names an exchange that it does not have.
        await transport.publish([Post(exchange=EVENTS, key=event.TYPE, envelope=seal(event, "conductor"))])
    await published(transport, order("s1"))
    await kept.until({"s1"})


async def test_a_wait_that_the_broken_connection_cancels_is_trouble_with_the_bus_and_no_end_of_the_task() -> None:
    cut = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(cut.cancel)
    with pytest.raises(BusError, match="publishing: the connection broke off"), trouble_of("publishing"):
        await cut


async def test_a_task_that_is_cancelled_while_it_waits_for_the_bus_ends() -> None:
    async def publish() -> None:
        with trouble_of("publishing"):
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(publish())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

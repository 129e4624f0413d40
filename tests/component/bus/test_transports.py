"""What both transports promise, held against both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from skybus.bus.context import Context, bound
from skybus.bus.envelope import ANSWERS, COMMANDS, CONDUCTOR, DEAD, EVENTS, Post, seal
from skybus.bus.message import Message
from skybus.bus.runner import Runner
from skybus.bus.transport import Delivery, Queue, Settlement, Unroutable, command_queue
from skybus.errors import CommandRefused, CommandTroubled, Outage
from skybus.messages.compute import GuestDestroyed, HostChanged, StartGuest
from support.buses import Broker, amqp_broker, memory_broker

INBOX = Queue(name="skybus.answers", bindings=((ANSWERS, CONDUCTOR),))
DEAD_LETTERS = Queue(name="skybus.dead", bindings=((DEAD, ""),))
WORKER = command_queue("compute.h1")


@pytest.fixture(params=["memory", "amqp"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    async with memory_broker() if request.param == "memory" else amqp_broker() as made:
        transport = await made.transport()
        await transport.declare([INBOX, DEAD_LETTERS, WORKER])
        yield made


def order(server_id: str = "s1") -> Post:
    return Post(exchange=COMMANDS, key="compute.h1", envelope=seal(StartGuest(server_id=server_id), "conductor"))


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


class Keeper:
    """Receives deliveries, and settles them as the test says."""

    def __init__(self, settlement: Settlement = Settlement.DONE) -> None:
        self.settlement = settlement
        self.got: list[Delivery] = []

    async def __call__(self, delivery: Delivery) -> Settlement:
        self.got.append(delivery)
        return self.settlement


async def test_a_command_reaches_its_worker_with_its_whole_envelope(broker: Broker) -> None:
    transport, keeper = broker.opened[0], Keeper()
    await transport.consume(WORKER, keeper, prefetch=8)
    with bound(Context(request_id="req-1", project_id="p1", operation_id="op-1", traceparent="00-ab-cd-01")):
        sent = order()
    await transport.publish([sent])
    await until(lambda: len(keeper.got) == 1)
    assert keeper.got[0].envelope == sent.envelope
    assert keeper.got[0].user == "skybus"


async def test_messages_arrive_in_the_order_in_which_they_were_published(broker: Broker) -> None:
    transport, keeper = broker.opened[0], Keeper()
    await transport.publish([order(str(number)) for number in range(50)])
    await transport.consume(WORKER, keeper, prefetch=8)
    await until(lambda: len(keeper.got) == 50)
    assert [delivery.envelope.subject for delivery in keeper.got] == [str(number) for number in range(50)]


async def test_a_command_to_nobody_is_refused_and_an_event_that_nobody_wants_is_not(broker: Broker) -> None:
    transport = broker.opened[0]
    envelope = order().envelope
    with pytest.raises(Unroutable):
        await transport.publish([Post(exchange=COMMANDS, key="compute.nowhere", envelope=envelope)])
    await transport.publish([Post(exchange=EVENTS, key=envelope.type, envelope=envelope)])


async def test_an_event_reaches_everybody_whose_pattern_it_matches(broker: Broker) -> None:
    transport, hosts, all_of_them, others = broker.opened[0], Keeper(), Keeper(), Keeper()
    for name, pattern, keeper in (
        ("q.hosts", "skybus.compute.host.#", hosts),
        ("q.all", "#", all_of_them),
        ("q.others", "skybus.network.#", others),
    ):
        await transport.consume(Queue(name=name, bindings=((EVENTS, pattern),), private=True), keeper, prefetch=8)
    event = HostChanged(host="h1", change="up")
    await transport.publish([Post(exchange=EVENTS, key=event.TYPE, envelope=seal(event, "conductor"))])
    await until(lambda: len(hosts.got) == 1 and len(all_of_them.got) == 1)
    assert others.got == []


async def test_a_message_that_fails_every_time_goes_to_the_dead_letters(broker: Broker) -> None:
    transport, failing, dead = broker.opened[0], Keeper(Settlement.RETRY), Keeper()
    await transport.consume(WORKER, failing, prefetch=1)
    await transport.consume(DEAD_LETTERS, dead, prefetch=1)
    await transport.publish([order()])
    await until(lambda: len(dead.got) == 1)
    assert [delivery.deliveries for delivery in failing.got] == [0, 1, 2]
    assert (dead.got[0].died_in, dead.got[0].died_of) == (WORKER.name, "delivery_limit")
    assert (dead.got[0].exchange, dead.got[0].key) == (COMMANDS, "compute.h1")


async def test_a_message_that_nobody_will_understand_goes_to_the_dead_letters_at_once(broker: Broker) -> None:
    transport, refusing, dead = broker.opened[0], Keeper(Settlement.DEAD), Keeper()
    await transport.consume(WORKER, refusing, prefetch=1)
    await transport.consume(DEAD_LETTERS, dead, prefetch=1)
    await transport.publish([order()])
    await until(lambda: len(dead.got) == 1)
    assert len(refusing.got) == 1
    assert dead.got[0].died_of == "rejected"


async def test_what_a_stopped_consumer_had_in_hand_is_delivered_to_the_next_one(broker: Broker) -> None:
    transport = broker.opened[0]
    begun = asyncio.Event()

    async def hang(delivery: Delivery) -> Settlement:
        begun.set()
        await asyncio.sleep(60)
        return Settlement.DONE

    consumer = await transport.consume(WORKER, hang, prefetch=1)
    await transport.publish([order()])
    await asyncio.wait_for(begun.wait(), 10)
    await consumer.stop(0)
    keeper = Keeper()
    await transport.consume(WORKER, keeper, prefetch=1)
    await until(lambda: len(keeper.got) == 1)


async def test_a_consumer_holds_no_more_than_its_prefetch(broker: Broker) -> None:
    transport, now, most = broker.opened[0], 0, 0
    done = 0

    async def count(delivery: Delivery) -> Settlement:
        nonlocal now, most, done
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now, done = now - 1, done + 1
        return Settlement.DONE

    await transport.consume(WORKER, count, prefetch=4)
    await transport.publish([order(str(number)) for number in range(20)])
    await until(lambda: done == 20)
    assert most <= 4


async def test_the_runner_retries_trouble_and_buries_refusals(broker: Broker) -> None:
    transport, dead, tries = broker.opened[0], Keeper(), []

    async def handle(delivery: Delivery, message: Message) -> None:
        tries.append(message.subject)
        if message.subject == "refused":
            raise CommandRefused("never")
        if message.subject == "troubled" and tries.count("troubled") == 1:
            raise CommandTroubled("not now")

    runner = Runner(transport, "compute.h1", handle)
    await runner.consume(WORKER, prefetch=4)
    await transport.consume(DEAD_LETTERS, dead, prefetch=1)
    await transport.publish([order("refused"), order("troubled"), order("fine")])
    await until(lambda: len(dead.got) == 1 and tries.count("troubled") == 2 and "fine" in tries)
    assert tries.count("refused") == 1
    await runner.stop(5)


async def test_an_outage_is_sat_out_with_the_message_in_hand_and_does_not_count_against_it(broker: Broker) -> None:
    transport, dead, tries = broker.opened[0], Keeper(), []

    async def handle(delivery: Delivery, message: Message) -> None:
        tries.append(delivery.deliveries)
        if len(tries) <= 4:
            raise Outage("the database is away")

    runner = Runner(transport, "compute.h1", handle)
    await runner.consume(WORKER, prefetch=4)
    await transport.consume(DEAD_LETTERS, dead, prefetch=1)
    await transport.publish([order()])
    await until(lambda: len(tries) == 5)
    assert tries == [0] * 5
    await runner.stop(5)
    assert (await transport.depth(WORKER.name), dead.got) == (0, [])


async def test_a_message_that_cannot_be_understood_is_buried_and_the_sender_of_a_command_hears_why(
    broker: Broker,
) -> None:
    transport, dead, answers = broker.opened[0], Keeper(), Keeper()

    async def handle(delivery: Delivery, message: Message) -> None:
        raise AssertionError("nothing to handle")

    runner = Runner(transport, "compute.h1", handle)
    await runner.consume(WORKER, prefetch=4)
    await transport.consume(DEAD_LETTERS, dead, prefetch=1)
    await transport.consume(INBOX, answers, prefetch=1)
    import msgspec

    with bound(Context(operation_id="op-1")):
        envelope = seal(StartGuest(server_id="s"), "conductor", command_id="c-1")
    nonsense = msgspec.structs.replace(envelope, body=b'{"server_id": 5}')
    unknown = msgspec.structs.replace(envelope, id="x", type="skybus.compute.command.dance.v1", command_id="")
    await transport.publish([Post(exchange=COMMANDS, key="compute.h1", envelope=one) for one in (nonsense, unknown)])
    await until(lambda: len(dead.got) == 2 and len(answers.got) == 1)
    assert answers.got[0].envelope.command_id == "c-1"
    assert b"bus.malformed" in answers.got[0].envelope.body
    await runner.stop(5)


async def test_an_answer_is_for_the_conductor(broker: Broker) -> None:
    transport, answers = broker.opened[0], Keeper()
    await transport.consume(INBOX, answers, prefetch=1)
    envelope = seal(GuestDestroyed(server_id="s1"), "compute.h1", command_id="c-9")
    await transport.publish([Post(exchange=ANSWERS, key=CONDUCTOR, envelope=envelope)])
    await until(lambda: len(answers.got) == 1)
    assert answers.got[0].envelope.command_id == "c-9"

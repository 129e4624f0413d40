"""A host's broker account reads its own queue and writes to the conductor under its own name: tried with real AMQP.

The permissions are those that `ops/up` gives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from lib.rabbitmq import agent_permissions

from skybus.bus.envelope import ANSWERS, COMMANDS, CONDUCTOR, DEAD, EVENTS, Post, seal
from skybus.bus.hosting import AgentServer
from skybus.bus.message import Message
from skybus.bus.runner import Runner
from skybus.bus.transport import Delivery, Queue
from skybus.cli.setup import queues
from skybus.config import Config, Host, Volume
from skybus.ids import new_hex_id
from skybus.messages.volume import MakeVolume
from skybus_conductor.worker import INBOX, REPORTED
from skybus_volume import build
from support.buses import Broker, amqp_broker, rabbitmqctl

HOSTS = ("h1", "h2")
OTHERS = [queue.name for queue in queues(HOSTS) if queue.name != "skybus.command.volume.h1"]


class Account:
    """The broker account of the volume agent on h1."""

    def __init__(self, broker: Broker, name: str, password: str) -> None:
        self.broker, self.name, self.password = broker, name, password

    @property
    def url(self) -> str:
        return self.broker.url(self.name, self.password)


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    """Accounts are the broker's, not a virtual host's: this one has a random part."""
    name, password = f"volume.h1-{new_hex_id()[-8:]}", new_hex_id()
    may = agent_permissions("volume", ["h1"])
    async with amqp_broker() as broker:
        await rabbitmqctl("add_user", name, password)
        try:
            await rabbitmqctl("set_permissions", "-p", broker.vhost, name, may["configure"], may["write"], may["read"])
            control = await broker.transport()
            await control.declare([*queues(HOSTS), Queue(name="watcher", bindings=((EVENTS, "#"),))])
            yield Account(broker, name, password)
        finally:
            await rabbitmqctl("delete_user", name)


Attempt = Callable[[AbstractChannel], Awaitable[Any]]


def publish(exchange: str, key: str, user: str | None = None) -> Attempt:
    async def attempt(channel: AbstractChannel) -> None:
        where = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        await where.publish(aio_pika.Message(b"{}", user_id=user), key)

    return attempt


async def drop(message: aio_pika.abc.AbstractIncomingMessage) -> None:
    """Nothing comes."""


def read(queue: str, *, consume: bool) -> Attempt:
    async def attempt(channel: AbstractChannel) -> None:
        there = await channel.get_queue(queue, ensure=False)
        await (there.consume(drop, no_ack=True) if consume else there.get(fail=False))

    return attempt


async def purge(channel: AbstractChannel) -> None:
    await (await channel.get_queue("skybus.command.volume.h2", ensure=False)).purge()


async def delete(channel: AbstractChannel) -> None:
    await (await channel.get_queue("skybus.command.volume.h1", ensure=False)).delete(if_unused=False, if_empty=False)


async def listen_with_own_queue(channel: AbstractChannel) -> None:
    await (await channel.get_queue("skybus.command.volume.h1", ensure=False)).bind(EVENTS, "#")


async def bind_exchanges(channel: AbstractChannel) -> None:
    await (await channel.get_exchange(ANSWERS, ensure=False)).bind(EVENTS, "#")


FORBIDDEN: dict[str, Attempt] = {
    **{f"consume {name}": read(name, consume=True) for name in [*OTHERS, "watcher"]},
    **{f"get {name}": read(name, consume=False) for name in [*OTHERS, "watcher"]},
    "publish an event": publish(EVENTS, "skybus.compute.server.created.v1"),
    "publish a command": publish(COMMANDS, "compute.h2"),
    "publish to the dead letters": publish(DEAD, ""),
    "publish to a queue through the default exchange": publish("", "skybus.command.volume.h2"),
    "publish to a built-in exchange": publish("amq.topic", "x"),
    "answer in another's name": publish(ANSWERS, CONDUCTOR, "skybus"),
    "answer in another host's name": publish(ANSWERS, CONDUCTOR, "volume.h2"),
    "declare a queue": lambda channel: channel.declare_queue("mine", durable=True),
    "declare an exclusive queue": lambda channel: channel.declare_queue(exclusive=True),
    "declare an exchange": lambda channel: channel.declare_exchange("mine"),
    "declare a queue in the place of a host to come": lambda channel: channel.declare_queue("skybus.command.volume.h3"),
    "purge another's queue": purge,
    "delete its own queue": delete,
    "bind its queue to the events": listen_with_own_queue,
    "bind exchanges": bind_exchanges,
}
REFUSED = ("ChannelAccessRefused", "ChannelPreconditionFailed")


async def outcome(connection: aio_pika.abc.AbstractConnection, attempt: Attempt) -> str:
    """What became of an attempt: `done`, or the name of what the broker answered."""
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    try:
        async with asyncio.timeout(10):
            await attempt(channel)
    except Exception as error:
        return type(error).__name__
    finally:
        if not channel.is_closed:
            await channel.close()
    return "done"


async def test_a_hosts_account_can_do_its_own_work_and_nothing_else(account: Account) -> None:
    """Security: design section 1, promise 5; issue, section 4."""
    connection = await aio_pika.connect(account.url)
    try:
        outcomes = {name: await outcome(connection, attempt) for name, attempt in FORBIDDEN.items()}
        assert {name: one for name, one in outcomes.items() if one not in REFUSED} == {}
        for attempt in (
            read("skybus.command.volume.h1", consume=False),
            read("skybus.command.volume.h1", consume=True),
            publish(ANSWERS, CONDUCTOR, account.name),
        ):
            assert await outcome(connection, attempt) == "done"
    finally:
        await connection.close()
    for vhost in ("/", "nowhere"):
        with pytest.raises((aio_pika.exceptions.AMQPError, ConnectionError)):
            await aio_pika.connect(account.url.rsplit("/", 1)[0] + "/" + vhost.replace("/", "%2F"), timeout=10)


async def test_an_agent_serves_under_that_account(account: Account) -> None:
    """A real agent, a real account: the command arrives, the answer and the report carry the account's name."""
    got: list[tuple[str, str]] = []

    async def keep(delivery: Delivery, message: Message) -> None:
        got.append((delivery.user, message.TYPE))

    control = account.broker.opened[0]
    inbox = Runner(control, CONDUCTOR, keep)
    await inbox.consume(REPORTED, prefetch=4)
    await inbox.consume(INBOX, prefetch=4)
    transport = await account.broker.transport(account.name, account.password)
    config = Config(host=Host(name="h1"), volume=Volume(driver="simulated", capacity_gib=10))
    server = AgentServer(build(config, "h1"), transport, prefetch=4, report_seconds=3600)
    await server.start()
    try:
        order = seal(MakeVolume(volume_id="v", size_gib=1), CONDUCTOR, command_id="c1")
        await control.publish([Post(exchange=COMMANDS, key="volume.h1", envelope=order)])
        async with asyncio.timeout(15):
            while len(got) < 2:
                await asyncio.sleep(0.02)
    finally:
        await server.stop(2)
        await inbox.stop(2)
    assert {user for user, _ in got} == {account.name}
    assert got[0][1] == "skybus.volume.report.pool.v1"

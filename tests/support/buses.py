"""Transports for tests: in memory, or on the RabbitMQ that `ops/test` names, in a virtual host of the test's own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from skybus.bus.amqp import AmqpTransport
from skybus.bus.memory import MemoryBroker, MemoryTransport
from skybus.bus.transport import Transport
from skybus.config import Bus
from skybus.ids import new_hex_id


class Broker:
    """Makes transports to one broker that nobody else uses."""

    def __init__(self, kind: str, vhost: str = "") -> None:
        self.kind, self.vhost = kind, vhost
        self.memory = MemoryBroker(delivery_limit=3)
        self.opened: list[Transport] = []

    def url(self, user: str | None = None, password: str | None = None) -> str:
        """AMQP URL of this broker's virtual host."""
        where = urlsplit(os.environ["SKYBUS_TEST_AMQP"])
        account = f"{user or where.username}:{password or where.password}"
        return f"amqp://{account}@{where.hostname}:{where.port}/{self.vhost}"

    async def transport(self, user: str | None = None, password: str | None = None) -> Transport:
        """An open transport, closed when the test ends."""
        transport: Transport
        if self.kind == "memory":
            transport = MemoryTransport(self.memory, user or "skybus")
        else:
            transport = AmqpTransport(Bus(url=self.url(user, password), delivery_limit=3, publish_seconds=5))
        await transport.open()
        self.opened.append(transport)
        return transport


async def rabbitmqctl(*args: str) -> str:
    """Run rabbitmqctl against the test broker."""
    process = await asyncio.create_subprocess_exec(
        os.environ["SKYBUS_TEST_AMQP_CTL"],
        *args,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    if process.returncode:
        raise RuntimeError(f"rabbitmqctl {' '.join(args)}: {out.decode(errors='replace')}")
    return out.decode()


@asynccontextmanager
async def memory_broker() -> AsyncIterator[Broker]:
    """A broker in this process."""
    broker = Broker("memory")
    try:
        yield broker
    finally:
        for transport in broker.opened:
            await transport.close()


@asynccontextmanager
async def amqp_broker() -> AsyncIterator[Broker]:
    """A virtual host of one's own on the test RabbitMQ."""
    vhost = f"t{new_hex_id()[-12:]}"
    user = urlsplit(os.environ["SKYBUS_TEST_AMQP"]).username or "guest"
    await rabbitmqctl("add_vhost", vhost)
    broker = Broker("amqp", vhost)
    try:
        await rabbitmqctl("set_permissions", "-p", vhost, user, ".*", ".*", ".*")
        yield broker
    finally:
        for transport in broker.opened:
            await transport.close()
        await rabbitmqctl("delete_vhost", vhost)

"""All workers of a small cloud over the memory transport, each under the broker account that it would have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from skybus.bus.envelope import ANSWERS, COMMANDS, CONDUCTOR, Post, seal
from skybus.bus.hosting import AgentServer
from skybus.bus.memory import MemoryBroker, MemoryTransport
from skybus.bus.message import Command, Message
from skybus.bus.transport import Delivery, Queue, Settlement, Transport
from skybus.cli.setup import queues
from skybus.compute.instance_identity import InstanceIdentity
from skybus.config import Compute, Config, Host, Network, Volume
from skybus.ids import new_id
from skybus.store import Store
from skybus.store.relay import Relay
from skybus_compute import build as build_compute
from skybus_conductor.cloud import Cloud
from skybus_conductor.worker import Conductor
from skybus_metering.worker import Metering
from skybus_network import build as build_network
from skybus_scheduler.worker import Scheduler
from skybus_volume import build as build_volume

CONTROL = "skybus"
HOSTS = ("h1", "h2")
AGENTS = {"compute": build_compute, "network": build_network, "volume": build_volume}
DEAD_LETTERS = "SELECT * FROM bus.dead_letter ORDER BY died_at, id"


class Running:
    """The workers; `answers` is everything that was sent to the conductor."""

    def __init__(self, store: Store, broker: MemoryBroker) -> None:
        self.store = store
        self.broker = broker
        self.answers: list[Delivery] = []
        self.transports: dict[str, Transport] = {}

    async def as_account(self, user: str) -> Transport:
        """A connection under the account `user`."""
        if user not in self.transports:
            self.transports[user] = MemoryTransport(self.broker, user)
            await self.transports[user].open()
        return self.transports[user]

    async def command(self, address: str, command: Command, **envelope: Any) -> str:
        """Order something from a worker, as the conductor does; answer the command's id."""
        command_id = new_id()
        sealed = msgspec.structs.replace(seal(command, "conductor", command_id=command_id), **envelope)
        await (await self.as_account(CONTROL)).publish([Post(exchange=COMMANDS, key=address, envelope=sealed)])
        return command_id

    async def tell(self, message: Message, *, source: str, user: str | None = None, **envelope: Any) -> str:
        """Send something to the conductor from `source`, through the account `user`; answer the message's id."""
        sealed = msgspec.structs.replace(seal(message, source), **envelope)
        await (await self.as_account(user or source)).publish([Post(exchange=ANSWERS, key=CONDUCTOR, envelope=sealed)])
        return sealed.id

    async def answer_to(self, command_id: str) -> Delivery:
        """The answer to a command, once it is there."""
        await self.until(lambda: self._answered(command_id))
        return next(one for one in self.answers if one.envelope.command_id == command_id)

    async def _answered(self, command_id: str) -> bool:
        return any(one.envelope.command_id == command_id for one in self.answers)

    async def dead(self, count: int = 1) -> list[Any]:
        """The dead letters, once there are that many."""

        async def there() -> bool:
            return int(await self.store.fetchval("SELECT count(*) FROM bus.dead_letter")) >= count

        await self.until(there)
        return await self.store.fetch(DEAD_LETTERS)

    async def until(self, condition: Callable[[], Awaitable[bool]], seconds: float = 8) -> None:
        """Return when it holds."""
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.02)


async def _all_heard(store: Store) -> bool:
    return bool(await store.fetchval("SELECT count(*) = $1 FROM conductor.host_report", len(HOSTS) * len(AGENTS)))


@asynccontextmanager
async def running_workers(store: Store, folder: Path) -> AsyncIterator[Running]:
    """Conductor, scheduler, metering and the agents of two hosts with simulated drivers."""
    running = Running(store, MemoryBroker(delivery_limit=2))
    control = await running.as_account(CONTROL)
    await control.declare(queues(HOSTS))

    async def keep(delivery: Delivery) -> Settlement:
        running.answers.append(delivery)
        return Settlement.DONE

    await control.consume(Queue(name="spy", bindings=((ANSWERS, CONDUCTOR),)), keep, prefetch=8)
    cloud = Cloud(
        gateway_url="http://cloud.test",
        issue_image_token=lambda image_id: "token",
        identity=InstanceIdentity.load(folder),
        allocation_ratios={},
    )
    relay = Relay(store, control)
    conductor = Conductor(store, control, cloud, user=CONTROL)
    scheduler, metering = Scheduler(store, control), Metering(store)
    config = Config(
        host=Host(state_dir=folder),
        compute=Compute(driver="simulated"),
        network=Network(driver="simulated"),
        volume=Volume(driver="simulated", capacity_gib=100),
    )
    servers = []
    await relay.start()
    await conductor.start(prefetch=8)
    await scheduler.start(prefetch=8)
    await metering.start(control, prefetch=8)
    try:
        for host in HOSTS:
            for kind, build in AGENTS.items():
                transport = await running.as_account(f"{kind}.{host}")
                servers.append(AgentServer(build(config, host), transport, prefetch=4, report_seconds=3600))
                await servers[-1].start()
        await running.until(lambda: _all_heard(store), 20)
        yield running
    finally:
        for server in servers:
            await server.stop(2)
        await metering.stop(2)
        await scheduler.stop(2)
        await conductor.stop(2)
        await relay.stop()
        for transport in running.transports.values():
            await transport.close()

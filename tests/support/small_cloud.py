"""A whole cloud in one thread of control: nothing happens unless the test delivers it.

Gateway APIs, conductor, scheduler and agents with simulated drivers are the real ones, on a real database. What the
broker would do, `run` does, one message at a time, in order; a test may double, refuse, lose or crash what it likes.
Time stands still but for `wait`.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from skybus import clock
from skybus.bus.agent import Agent
from skybus.bus.context import bound
from skybus.bus.envelope import ANSWERS, COMMANDS, Envelope, Post, seal
from skybus.bus.memory import MemoryBroker, MemoryTransport
from skybus.bus.message import Answer, Command, Failed, Message
from skybus.bus.runner import context_of, understood
from skybus.bus.transport import Delivery
from skybus.compute import flavors
from skybus.compute.instance_identity import InstanceIdentity
from skybus.config import Compute, Config, Database, Host, Network, Volume
from skybus.errors import CloudError
from skybus.gateway.apis import apis, policy_rules
from skybus.image.store_fs import FsStore
from skybus.messages.placement import Place, ProviderChanged
from skybus.store import Store, Tx
from skybus.store.relay import post_of
from skybus.volume import types
from skybus_compute import build as build_compute
from skybus_conductor.cloud import Cloud
from skybus_conductor.worker import Conductor
from skybus_network import build as build_network
from skybus_scheduler.worker import Scheduler
from skybus_volume import build as build_volume
from support.databases import database
from support.front import Client, front

HOSTS = ("h1", "h2")
TAKE = "DELETE FROM bus.outbox WHERE id = (SELECT min(id) FROM bus.outbox) RETURNING *"
WORLD = {
    "ports": "SELECT id, host, status, server_id, device_id FROM network.port ORDER BY id",
    "claims": "SELECT consumer_id, resource_class, amount, kind FROM placement.allocation ORDER BY 1, 2",
    "attachments": "SELECT id, volume_id, server_id, state FROM volume.attachment ORDER BY id",
    "addresses": "SELECT port_id, ip FROM network.address ORDER BY ip",
    "presence": "SELECT network_id, host FROM network.presence ORDER BY 1, 2",
}

Carry = Callable[[Command], Awaitable[Answer | None]]
Meddle = Callable[[Envelope, Command, Carry], Awaitable[Answer | None]]
"""What a test does to a command: carry it out or not, answer what it likes, or (None) nothing."""


class Killed(ConnectionError):
    """The process died before its commit."""


class Fate:
    """When the next process dies."""

    dies_in: int | None = None
    """Transactions until then."""

    def strike(self) -> None:
        """Another transaction is about to commit."""
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in < 0:
                self.dies_in = None
                raise Killed("killed before the commit")


class MortalStore(Store):
    """A store whose process dies just before the commit of its next transaction, when `fate` says so."""

    def __init__(self, config: Database, source: str, fate: Fate) -> None:
        super().__init__(config, source)
        self.fate = fate

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        async with super().transaction() as tx:
            yield tx
            self.fate.strike()


class SmallCloud:
    """See the module. `client` speaks to the gateway with made-up tokens."""

    def __init__(
        self, store: MortalStore, scheduler_store: MortalStore, client: Client, cloud: Cloud, config: Config
    ) -> None:
        transport = MemoryTransport(MemoryBroker())
        self.store = store
        self.fate = store.fate
        self.client = client
        self.conductor_cloud = cloud
        self.conductor = Conductor(store, transport, cloud, user="skybus")
        self.scheduler = Scheduler(scheduler_store, transport)
        self.agents: dict[str, Agent] = {}
        for host in HOSTS:
            for kind, build in (("compute", build_compute), ("network", build_network), ("volume", build_volume)):
                self.agents[f"{kind}.{host}"] = build(config, host)
        self.time = datetime.now(clock.now().tzinfo)
        self.doubled = False
        self.meddle: Meddle | None = None
        self.orders: list[str] = []
        """Ids of the commands of operations that workers were given, scheduler included."""
        self.deliveries = 0
        """Messages that the conductor and the scheduler handled: each is a place to be killed in."""

    # --- time

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.time += timedelta(seconds=seconds)

    # --- messages

    async def run(self, *, patience: int = 60) -> None:
        """Deliver until nothing is on its way and no operation runs. When only time could help, time passes."""
        while True:
            while await self.deliver():
                pass
            if not await self.store.fetchval(
                "SELECT count(*) FROM saga.operation WHERE state IN ('running', 'undoing')"
            ):
                return
            patience -= 1
            assert patience > 0, "an operation never ends"
            self.wait(130)
            await self.conductor.engine.sweep()

    async def deliver(self) -> bool:
        """Deliver the oldest message; false when there is none."""
        row = await self.store.fetchrow(TAKE)
        if row is None:
            return False
        post = post_of(row)
        for _ in range(2 if self.doubled else 1):
            await self._until_it_lives(post)
        return True

    async def _until_it_lives(self, post: Post) -> None:
        """Deliver again and again to a process that dies on it, as a broker does."""
        while True:
            try:
                await self._to(post)
                return
            except Killed:
                continue

    async def _to(self, post: Post) -> None:
        envelope = post.envelope
        message = understood(envelope)
        with bound(context_of(envelope)):
            if isinstance(message, ProviderChanged):
                self.scheduler.learn(message)
            elif post.exchange == ANSWERS:
                self.deliveries += 1
                await self.conductor._handle(_delivery(envelope), message)
            elif post.exchange == COMMANDS:
                assert isinstance(message, Command)
                await self._command(post.key, envelope, message)

    async def _command(self, address: str, envelope: Envelope, message: Command) -> None:
        if envelope.operation_id and envelope.command_id not in self.orders:
            self.orders.append(envelope.command_id)

        async def carry(command: Command) -> Answer | None:
            handler = self.agents[address].handlers[type(command)]
            try:
                return await handler(command)
            except CloudError as error:
                return Failed(code=error.code, reason=error.reason, retry=error.retry, details=error.details)

        if isinstance(message, Place) and self.meddle is None:
            self.deliveries += 1
            await self.scheduler._place(_delivery(envelope), message)
            return
        if isinstance(message, Place):
            carry = self._placing(envelope)
        answer = await (self.meddle(envelope, message, carry) if self.meddle else carry(message))
        if answer is not None:
            await self._answer(address, envelope, answer)

    def _placing(self, envelope: Envelope) -> Carry:
        """The scheduler as something that answers: what it would send is taken from the outbox."""

        async def carry(command: Command) -> Answer | None:
            await self.scheduler._place(_delivery(envelope), command)
            row = await self.store.fetchrow(
                "DELETE FROM bus.outbox WHERE command_id = $1 AND exchange = $2 RETURNING *",
                envelope.command_id,
                ANSWERS,
            )
            if row is None:
                return None
            answer = understood(post_of(row).envelope)
            assert isinstance(answer, Answer)
            return answer

        return carry

    async def _answer(self, address: str, command: Envelope, message: Message) -> None:
        envelope = seal(message, address, command_id=command.command_id)
        for _ in range(2 if self.doubled else 1):
            await self._until_it_lives(Post(exchange=ANSWERS, key="conductor", envelope=envelope))

    async def report(self, *, started: bool = False) -> None:
        """Every agent reports, and the conductor takes it in."""
        for address, agent in self.agents.items():
            report = await agent.report(started=started)
            await self.conductor._handle(_delivery(seal(report, address)), report)
        while await self.deliver():
            pass

    # --- what there is

    async def world(self) -> dict[str, Any]:
        """All that operations make: in the database and on the hosts."""
        world: dict[str, Any] = {}
        for name, sql in WORLD.items():
            world[name] = [tuple(map(str, row)) for row in await self.store.fetch(sql)]
        for address, agent in self.agents.items():
            report = await agent.report(started=False)
            for name in ("guests", "ports", "networks", "volumes", "exports"):
                if hasattr(report, name):
                    world[f"{address} {name}"] = sorted(map(str, getattr(report, name)))
        return world

    # --- what tests begin with

    async def image(self) -> str:
        """A small active image."""
        made = await self.client.call(
            "POST", "/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"}
        )
        assert made.status == 201, made
        image_id = str(made.body["id"])
        stored = await self.client.call(
            "PUT",
            f"/image/v2/images/{image_id}/file",
            data=b"\0" * 4096,
            headers={"Content-Type": "application/octet-stream"},
        )
        assert stored.status == 204, stored
        return image_id

    async def network(self, name: str = "n", cidr: str = "10.9.0.0/24") -> str:
        """A network with a subnet."""
        made = await self.client.call("POST", "/network/v2.0/networks", {"network": {"name": name}})
        assert made.status == 201, made
        network_id = str(made.body["network"]["id"])
        subnet = {"network_id": network_id, "cidr": cidr, "ip_version": 4}
        assert (await self.client.call("POST", "/network/v2.0/subnets", {"subnet": subnet})).status == 201
        return network_id

    async def server_asked(self, networks: list[str], image_id: str, **more: Any) -> str:
        """A server that was accepted."""
        listed = await self.client.call("GET", "/compute/v2.1/flavors")
        server = {
            "name": "s",
            "flavorRef": listed.body["flavors"][0]["id"],
            "imageRef": image_id,
            "networks": [{"uuid": network_id} for network_id in networks],
            **more,
        }
        made = await self.client.call("POST", "/compute/v2.1/servers", {"server": server})
        assert made.status == 202, made
        return str(made.body["server"]["id"])

    async def server(self, networks: int = 1) -> str:
        """A server that is ACTIVE."""
        made = [await self.network(f"n{number}", f"10.{number}.0.0/24") for number in range(networks)]
        server_id = await self.server_asked(made, await self.image())
        await self.run()
        assert await self.status(server_id) == "ACTIVE"
        return server_id

    async def volume_asked(self, size: int = 1) -> str:
        """A volume that was accepted."""
        made = await self.client.call("POST", "/volume/v3/volumes", {"volume": {"size": size, "name": "v"}})
        assert made.status == 202, made
        return str(made.body["volume"]["id"])

    async def volume(self, size: int = 1) -> str:
        """A volume that is available."""
        volume_id = await self.volume_asked(size)
        await self.run()
        assert await self.volume_status(volume_id) == "available"
        return volume_id

    async def attach(self, server_id: str, volume_id: str) -> None:
        """Ask for an attachment."""
        asked = {"volumeAttachment": {"volumeId": volume_id}}
        made = await self.client.call("POST", f"/compute/v2.1/servers/{server_id}/os-volume_attachments", asked)
        assert made.status == 200, made

    async def show(self, server_id: str) -> dict[str, Any] | None:
        """The server as its owner sees it; None when it is gone."""
        shown = await self.client.call("GET", f"/compute/v2.1/servers/{server_id}")
        return shown.body["server"] if shown.status == 200 else None

    async def status(self, server_id: str) -> str | None:
        """The server's status; None when it is gone."""
        shown = await self.show(server_id)
        return None if shown is None else str(shown["status"])

    async def volume_status(self, volume_id: str) -> str | None:
        """The volume's status; None when it is gone."""
        shown = await self.client.call("GET", f"/volume/v3/volumes/{volume_id}")
        return str(shown.body["volume"]["status"]) if shown.status == 200 else None


def _delivery(envelope: Envelope) -> Delivery:
    """As the broker would hand it on: hosts have accounts of their own, the control plane shares one."""
    user = envelope.source if "." in envelope.source else "skybus"
    return Delivery(envelope=envelope, queue="test", deliveries=0, user=user)


@asynccontextmanager
async def small_cloud(folder: Path) -> AsyncIterator[SmallCloud]:
    """A cloud with two hosts that have reported."""
    config = Config(
        host=Host(state_dir=folder),
        compute=Compute(driver="simulated"),
        volume=Volume(driver="simulated", capacity_gib=1000),
        network=Network(driver="simulated"),
    )
    async with database() as dsn:
        fate = Fate()
        stores = [MortalStore(Database(dsn=dsn, pool_size=3), source, fate) for source in ("conductor", "scheduler")]
        for store in stores:
            await store.open()
            store.on_owed = lambda owed: None
        store = stores[0]
        folder.mkdir(parents=True, exist_ok=True)
        services = {"store": store, "config": config, "images": FsStore(folder / "images")}
        cloud = Cloud(
            gateway_url="http://gateway.test",
            issue_image_token=lambda image_id: hashlib.sha256(image_id.encode()).hexdigest(),
            identity=InstanceIdentity.load(folder),
            allocation_ratios={},
        )
        try:
            async with front(apis(), policy_rules(), services) as client:
                made = SmallCloud(*stores, client, cloud, config)
                clock.use(lambda: made.time)
                await _furnish(made)
                yield made
        finally:
            clock.use(None)
            for store in stores:
                await store.close()


async def _furnish(cloud: SmallCloud) -> None:
    async with cloud.store.transaction() as tx:
        await flavors.bootstrap(tx)
        await types.bootstrap(tx)

    async def tell(report: Any) -> None:
        """Agents notice nothing that a test does not make them notice."""

    for agent in cloud.agents.values():
        await agent.start(tell)
    await cloud.report(started=True)

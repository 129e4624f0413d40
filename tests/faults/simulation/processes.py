"""The processes of the cloud: started, killed at any step, started again, as an init system would."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import structlog
from aiohttp import StreamReader, web
from aiohttp.http import HttpVersion11, RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from simulation.database import Database, Fate, Pool
from simulation.loop import LIFE, Life
from skybus.bus.transport import Transport
from skybus.config import Config
from skybus.gateway.apis import apis, policy_rules
from skybus.http.dispatch import Dispatcher
from skybus.http.policy import Policy
from skybus.image.store_fs import FsStore
from skybus.store import Store
from skybus.store.relay import Relay
from skybus.store.tail import Tail
from skybus_conductor import main as conductor
from skybus_conductor.topology import Topology
from support.front import made_up

log = structlog.get_logger()

START_AGAIN_SECONDS = 0.5
"""After a start that failed."""
CONTROL_USER = "skybus"
PUBLIC_URL = "http://gateway.test"


class Part(Protocol):
    """What runs in a process, as `skybus.bus.process` has it."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Process:
    """A process by name. `make` builds what runs in it, in the context of its life."""

    def __init__(self, name: str, make: Callable[[Process], Part], note: Callable[[str, str, str], None]) -> None:
        self.name, self.make, self.note = name, make, note
        self.life: Life | None = None
        self.part: Any = None
        self.pool: Pool | None = None
        """Its connections to the database, if it has any."""
        self.context = contextvars.Context()
        self.lost: list[Callable[[], None]] = []
        """What the world does when it dies: its connections break."""
        self.mourners: list[Callable[[str], None]] = []
        """Called with its name when it has died."""
        self.dead: list[Life] = []
        self.births = 0

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.life is not None and self.life.alive

    @property
    def ready(self) -> bool:
        """Whether it has started."""
        return self.alive and self.part is not None

    def start(self) -> None:
        """A new life. Content to find it running."""
        if self.alive:
            return
        self.births += 1
        self.life = Life(self.name, self._died)
        self.part, self.lost = None, []
        self.context = contextvars.copy_context()
        self.context.run(LIFE.set, self.life)
        self.note("start", self.name, f"life {self.births}")
        self.context.run(self._begin)

    def kill(self, *, steps: int = 0) -> None:
        """Die, at once or before the step that many from now."""
        if self.life is None or not self.life.alive:
            return
        if steps:
            self.life.dies_at = self.life.steps + steps
        else:
            self.life.die()

    def spare(self) -> None:
        """Do not die after all."""
        if self.life is not None:
            self.life.dies_at = None

    def _begin(self) -> None:
        asyncio.get_running_loop().create_task(self._live())

    async def _live(self) -> None:
        """Start until that succeeds; the tasks that it made live on by themselves."""
        while True:
            part = self.make(self)
            try:
                await part.start()
                self.part = part
                return
            except Exception as error:
                self.note("nostart", self.name, f"{type(error).__name__}: {error}")
            try:
                await part.stop()
            except Exception as error:
                self.note("nostop", self.name, f"{type(error).__name__}: {error}")
            await asyncio.sleep(START_AGAIN_SECONDS)

    def _died(self, life: Life) -> None:
        self.note("kill", self.name, f"at step {life.steps}")
        self.dead.append(life)
        lost, self.lost, self.part = self.lost, [], None
        for break_off in lost:
            break_off()
        for mourner in self.mourners:
            mourner(self.name)


@cache
def _one_line(sql: str) -> str:
    return " ".join(sql.split())[:150]


def on_database(store: Store, process: Process, database: Database, fate: Fate) -> Store:
    """Let the store take its connections from the simulation's database, and lose them when its process dies."""

    async def opened() -> None:
        if fate.away:
            raise ConnectionRefusedError("the database is away")
        config = store.config

        def note(sql: str) -> None:
            process.note("sql", process.name, _one_line(sql))

        pool = Pool(database, fate, config.pool_size, config.statement_seconds, note)
        process.lost.append(pool.terminate)
        process.pool = pool
        store._pool = pool

    store.open = opened  # type: ignore[method-assign]
    return store


class ConductorPart(conductor.Part):
    """The conductor's process. `connect` makes the further connections that it needs to look after the queues."""

    def __init__(self, config: Config, transport: Transport, connect: Callable[[], Transport]) -> None:
        super().__init__(config, transport)
        self.topology = Topology(self.store, connect)


class GatewayPart:
    """The gateway's process but for its port: requests come as objects, and tokens are made up."""

    def __init__(self, config: Config, transport: Transport) -> None:
        self.config, self.transport = config, transport
        self.store = Store(config.need_database(), "gateway")
        self.relay = Relay(self.store, transport)
        self.tail = Tail(self.store)
        services = {"store": self.store, "config": config, "images": FsStore(config.gateway.image_dir)}
        self.dispatcher = Dispatcher(
            apis(), Policy(policy_rules()), made_up, public_url=PUBLIC_URL, max_body_bytes=114_688, services=services
        )

    async def start(self) -> None:
        """As `skybus.gateway.main` does it."""
        await self.store.open()
        await self.transport.open()
        await self.relay.start()
        self.store.tail = self.tail
        await self.tail.start()

    async def stop(self) -> None:
        """The other way round."""
        await self.tail.close()
        await self.tail.stop()
        await self.relay.stop()
        await self.transport.close()
        await self.store.close()

    async def serve(self, method: str, path: str, headers: dict[str, str], data: bytes) -> tuple[int, bytes]:
        """Status and body of the answer to one request."""
        response = await self.dispatcher.serve(_request(method, path, headers, data))
        assert isinstance(response, web.Response)
        body = response.body
        return response.status, body if isinstance(body, bytes) else b""


class _Wire:
    """What a request wants to know of its connection."""

    ssl_context = None
    peername = ("192.0.2.1", 40000)
    sockname = ("192.0.2.2", 80)
    transport = None
    _reading_paused = False
    max_field_size = 8190

    def pause_reading(self) -> None:
        """The body is all there."""

    def resume_reading(self, **_: object) -> None:
        """The body is all there."""


def _request(method: str, path: str, headers: dict[str, str], data: bytes) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    wire: Any = _Wire()
    sent = CIMultiDict({"Host": "gateway.test", "Content-Length": str(len(data)), **headers})
    raw = tuple((name.encode(), value.encode()) for name, value in sent.items())
    message = RawRequestMessage(
        method, path, HttpVersion11, CIMultiDictProxy(sent), raw, False, None, False, False, URL(path, encoded=True)
    )
    payload = StreamReader(wire, 2**20, loop=loop)
    if data:
        payload.feed_data(data)
    payload.feed_eof()
    writer: Any = None
    task: Any = asyncio.current_task()
    return web.BaseRequest(message, payload, wire, writer, task, loop)

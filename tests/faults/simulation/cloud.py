"""A simulated cloud: processes, hosts, broker and database, on one loop, from one seed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog

from simulation.broker import Broker, Transport
from simulation.database import Database, Fate, Pool
from simulation.dice import Dice, dice
from simulation.hosts import KINDS, HostWorld
from simulation.loop import LIFE, Loop
from simulation.processes import CONTROL_USER, ConductorPart, GatewayPart, Part, Process, on_database
from simulation.site import Site
from simulation.trace import Trace
from skybus import clock
from skybus.bus.agents import Agents
from skybus.bus.transport import BusError
from skybus.config import Bus, Compute, Config, Gateway, Host, Network, Scheduler, Volume
from skybus.config import Database as DatabaseConfig
from skybus.errors import Outage
from skybus.store import Store
from skybus_conductor.topology import queues_of
from skybus_metering.main import Part as MeteringPart
from skybus_scheduler.main import Part as SchedulerPart

REPORT_SECONDS = 4.0
BEGINNING = datetime(2030, 1, 1, tzinfo=UTC)
"""Virtual time zero."""


EXPECTED = (BusError, Outage)
"""What weather alone may raise in a handler."""


class Gone(ConnectionError):
    """The gateway died with the request in hand: it was carried out, or not."""


class DatabaseFate(Fate):
    """What the whole cloud's connections to the database suffer."""

    def __init__(self, chance: Dice) -> None:
        self.dice = chance
        self.mean_pause = 0.0005
        self.lost = 0.0
        self.is_away = False

    def pause(self) -> float:
        """See `Fate.pause`."""
        return self.dice.about(self.mean_pause)

    def breaks(self, sql: str) -> bool:
        """A commit is where it hurts most."""
        return self.dice.chance(self.lost * (10 if sql == "COMMIT" else 1))

    @property
    def away(self) -> bool:
        """See `Fate.away`."""
        return self.is_away


class Cloud:
    """See the module. `site` outlives it: the database server, the keys."""

    def __init__(self, seed: int, site: Site, loop: Loop, follow: Callable[[str], None] | None = None) -> None:
        self.seed, self.site, self.loop = seed, site, loop
        self.trace = Trace(loop.time, follow)
        self.database: Database = site.database
        self.fate = DatabaseFate(dice(seed, "database"))
        self.broker = Broker(dice(seed, "broker"), self.trace.note)
        self.shape = dice(seed, "shape")
        self.skew: dict[str, float] = {}
        """Seconds that a process's clock is ahead, by its name."""
        self.crashes: list[str] = []
        """What a handler did not expect: a mistake of ours, whatever the weather."""
        self.hosts = {name: self._host(number) for number, name in enumerate(self._host_names(), 1)}
        self.processes: dict[str, Process] = {}
        self._make_processes()
        self.store = Store(self.config().need_database(), "faults")
        """For those who look, whom no fault touches."""
        self.store._pool = Pool(site.database, Fate(), 4, 60, lambda sql: None)
        self.projects: list[Any] = []
        """Whose users there are."""

    # --- what there is

    def _host_names(self) -> list[str]:
        return [f"h{number}" for number in range(1, self.shape.choice((2, 2, 3)) + 1)]

    def _host(self, number: int) -> HostWorld:
        name = f"h{number}"
        return HostWorld(name, f"10.250.0.{number}", self.config(name), dice(self.seed, name))

    def config(self, host: str = "control") -> Config:
        """The configuration of a process: small hosts, so that room is scarce."""
        return Config(
            database=DatabaseConfig(dsn=self.database.dsn, pool_size=6),
            bus=Bus(url="amqp://simulated", prefetch=16),
            scheduler=Scheduler(cpu_allocation_ratio=1.0),
            gateway=Gateway(
                image_dir=self.site.folder / "images",
                token_key_dir=self.site.folder,
                credential_key_dir=self.site.folder,
            ),
            host=Host(name=host, state_dir=self.site.folder, report_seconds=REPORT_SECONDS),
            compute=Compute(
                driver="simulated",
                simulated_vcpus=2,
                simulated_memory_mib=640,
                simulated_disk_gib=8,
                simulated_seconds=0.02,
            ),
            volume=Volume(driver="simulated", capacity_gib=6),
            network=Network(driver="simulated"),
        )

    def _make_processes(self) -> None:
        self._add("gateway", lambda process: GatewayPart(self.config(), self._transport(process)))
        for number in range(1, self.shape.choice((1, 2)) + 1):
            self._add(f"conductor-{number}", self._conductor)
        for number in range(1, self.shape.choice((1, 2)) + 1):
            self._add(f"scheduler-{number}", lambda process: SchedulerPart(self.config(), self._transport(process)))
        self._add("metering", lambda process: MeteringPart(self.config(), self._transport(process)))
        for host in self.hosts.values():
            for kind in KINDS:
                self._add(f"{kind}.{host.name}", self._agent_of(host, kind))

    def _conductor(self, process: Process) -> ConductorPart:
        return ConductorPart(self.config(), self._transport(process), lambda: self._transport(process))

    def _add(self, name: str, make: Callable[[Process], Any]) -> None:
        def made(process: Process) -> Part:
            part = make(process)
            if hasattr(part, "store"):
                on_database(part.store, process, self.database, self.fate)
            return part  # type: ignore[no-any-return]

        self.processes[name] = Process(name, made, self.trace.note)

    def _agent_of(self, host: HostWorld, kind: str) -> Callable[[Process], Agents]:
        def make(process: Process) -> Agents:
            transport = self._transport(process, f"{kind}.{host.name}")
            return Agents(self.config(host.name), transport, lambda config, name: host.agent(kind))

        return make

    def _transport(self, process: Process, user: str = CONTROL_USER) -> Transport:
        transport = Transport(self.broker, user)
        process.lost.append(transport.drop)
        return transport

    # --- time

    def now(self) -> datetime:
        """What the clock of whoever asks says."""
        life = LIFE.get()
        ahead = self.skew.get(life.name, 0.0) if life is not None else 0.0
        return BEGINNING + timedelta(seconds=self.loop.time() + ahead)

    async def begin(self) -> None:
        """Start every process and wait until all have."""
        clock.use(self.now)
        for queue in queues_of(f"{kind}.{host}" for host in self.hosts for kind in KINDS):
            self.broker.declare(queue)
        for process in self.processes.values():
            process.start()
        async with asyncio.timeout(60):
            while not all(process.ready for process in self.processes.values()):
                await asyncio.sleep(0.1)

    async def end(self) -> None:
        """Everything stops where it is."""
        clock.use(None)
        for process in self.processes.values():
            process.mourners.clear()
            process.kill()
        structlog.configure(processors=[_drop])

    # --- callers

    async def call(self, method: str, path: str, body: Any = None, *, token: str, version: str = "") -> tuple[int, Any]:
        """One request through the gateway: status and JSON body. Raises Gone when it dies meanwhile, or is dead."""
        gateway = self.processes["gateway"]
        if not gateway.ready:
            raise Gone("the gateway is down")
        headers = {"X-Auth-Token": token, "Content-Type": "application/json"}
        if version:
            headers["OpenStack-API-Version"] = version
        data = b"" if body is None else json.dumps(body).encode()
        answer = self.loop.create_future()
        gateway.lost.append(partial(_broken_off, answer))
        gateway.context.copy().run(_serve, gateway.part, answer, (method, path, headers, data))
        status, text = await answer
        self.trace.note("call", token.split(":")[1], f"{method} {path} {status}")
        return status, json.loads(text) if text else None

    # --- mistakes

    def surprised(self, what: str) -> None:
        """Something was raised that nobody expected."""
        life = LIFE.get()
        self.trace.note("crash", life.name if life else "-", what)
        self.crashes.append(what)


def _broken_off(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(Gone("the gateway died"))


def _serve(part: GatewayPart, answer: asyncio.Future[Any], request: tuple[Any, ...]) -> None:
    task = asyncio.get_running_loop().create_task(part.serve(*request))

    def done(served: asyncio.Task[Any]) -> None:
        if answer.done():
            return
        if served.cancelled() or served.exception() is not None:
            answer.set_exception(served.exception() if not served.cancelled() else Gone("cancelled"))  # type: ignore[arg-type]
        else:
            answer.set_result(served.result())

    task.add_done_callback(done)


def _drop(_logger: Any, _method: str, _event: Any) -> Any:
    raise structlog.DropEvent


def listen_to_logs(cloud: Cloud) -> None:
    """What handlers log goes into the trace; what they did not expect is kept."""

    def take(_logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        life = LIFE.get()
        name = str(event.pop("event"))
        if event.get("exc_info"):
            error = sys.exc_info()[1]
            if not isinstance(error, EXPECTED):
                cloud.surprised(f"{name}: {type(error).__name__}: {error}")
        else:
            fields = " ".join(f"{key}={value}" for key, value in sorted(event.items()) if key != "ms")
            cloud.trace.note(method, life.name if life else "-", f"{name} {fields}")
        raise structlog.DropEvent

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, take],
        wrapper_class=structlog.make_filtering_bound_logger(30),
        cache_logger_on_first_use=False,
    )

"""The process of a host agent: one connection, one or (simulated) many hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from skybus.bus.agent import Agent
from skybus.bus.hosting import AgentServer
from skybus.bus.transport import BusError, Transport
from skybus.config import Config

START_LANES = 16
"""Hosts that one process brings up at the same time."""

log = structlog.get_logger()

AGAIN_SECONDS = 0.3
"""Between two attempts while the bus is not there yet."""
Build = Callable[[Config, str], Agent]
"""Makes the agent of one host."""


def host_names(config: Config) -> list[str]:
    """The hosts that this process stands for."""
    name, count = config.host.name, config.host.simulated
    return [f"{name}-{number:04d}" for number in range(1, count + 1)] if count else [name]


class Agents:
    """The agents of one kind in this process."""

    def __init__(self, config: Config, transport: Transport, build: Build) -> None:
        self.config = config
        self.transport = transport
        self.servers: list[AgentServer] = []
        self._build = partial(build, config)
        self._started = False

    @property
    def ready(self) -> bool:
        return self._started and self.transport.connected

    async def start(self) -> None:
        """Start every host's agent, then wait for the bus, as long as it takes: guests have their network, metadata and
        disks of agents that started while there was none."""
        for host in host_names(self.config):
            server = AgentServer(
                self._build(host),
                self.transport,
                prefetch=self.config.bus.prefetch,
                report_seconds=self.config.host.report_seconds,
            )
            self.servers.append(server)
            await server.prepare()
        await self._insist(self._connect)
        lanes = asyncio.Semaphore(START_LANES)
        await asyncio.gather(*(self._serve(server, lanes) for server in self.servers))
        self._started = True

    async def _serve(self, server: AgentServer, lanes: asyncio.Semaphore) -> None:
        async with lanes:
            await self._insist(server.serve)

    async def _connect(self) -> None:
        try:
            await self.transport.open()
        except BusError:
            await self.transport.close()
            raise

    async def _insist(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` again until the bus lets us."""
        while True:
            try:
                await work()
                return
            except BusError as error:
                log.info("waiting_for_the_bus", reason=str(error))
            await asyncio.sleep(AGAIN_SECONDS)

    async def stop(self) -> None:
        """Stop every host's agent, then disconnect."""
        grace = self.config.worker.grace_seconds
        await asyncio.gather(*(server.stop(grace) for server in self.servers))
        await self.transport.close()

"""The process of a host agent: one connection, one or (simulated) many hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from skybus.bus.agent import Agent
from skybus.bus.hosting import AgentServer
from skybus.bus.transport import Transport
from skybus.config import Config

START_LANES = 16
"""Hosts that one process brings up at the same time."""

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
        """Connect, then serve every host."""
        await self.transport.open()
        hosts = iter(host_names(self.config))

        async def lane() -> None:
            for host in hosts:
                await self._serve(host)

        try:
            async with asyncio.TaskGroup() as lanes:
                for _ in range(START_LANES):
                    lanes.create_task(lane())
        except BaseExceptionGroup as group:
            # Whoever starts us knows what to do when the bus is not there yet, and knows it by that error.
            raise group.exceptions[0] from group
        self._started = True

    async def _serve(self, host: str) -> None:
        server = AgentServer(
            self._build(host),
            self.transport,
            prefetch=self.config.bus.prefetch,
            report_seconds=self.config.host.report_seconds,
        )
        self.servers.append(server)
        await server.start()

    async def stop(self) -> None:
        """Stop every host's agent, then disconnect."""
        grace = self.config.worker.grace_seconds
        await asyncio.gather(*(server.stop(grace) for server in self.servers))
        await self.transport.close()

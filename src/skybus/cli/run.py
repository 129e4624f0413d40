"""`skybus gateway`, `skybus worker NAME`, `skybus all`: the processes of the cloud."""

from __future__ import annotations

import argparse
import asyncio
from importlib import import_module
from typing import Any

from skybus import log
from skybus.bus.agents import Agents
from skybus.bus.memory import MemoryBroker
from skybus.bus.process import Part, run, transport_of
from skybus.config import Config, load

AGENTS = ("compute", "volume", "network")
CONTROL = ("conductor", "scheduler", "metering")


def main(args: argparse.Namespace) -> int:
    """Run a process until it is told to stop."""
    config = load(args.config)
    name = args.name if args.command == "worker" else args.command
    log.configure(name)

    def make() -> Part:
        return AllInOne(config) if name == "all" else part_of(name, config)

    return run(name, config, make, netlink=name in AGENTS and config.network.driver == "linuxbridge")


def part_of(name: str, config: Config, broker: MemoryBroker | None = None) -> Part:
    """The gateway or a worker. Imports that one alone: a host agent never loads what it must not use."""
    transport = transport_of(config, broker)
    if name in AGENTS:
        module: Any = import_module(f"skybus_{name}")
        return Agents(config, transport, module.build)
    module = import_module("skybus.gateway.main" if name == "gateway" else f"skybus_{name}.main")
    part: Part = module.Part(config, transport)
    return part


class AllInOne:
    """Everything in one process, over one memory broker."""

    def __init__(self, config: Config) -> None:
        from skybus.cli.setup import queues

        broker = MemoryBroker(delivery_limit=config.bus.delivery_limit)
        self.config = config
        self._setup = transport_of(config, broker)
        self._queues = queues
        # In the order in which they start: those that others talk to come first.
        self.parts = [part_of(name, config, broker) for name in (*CONTROL, *AGENTS, "gateway")]
        self._started: list[Part] = []

    @property
    def ready(self) -> bool:
        return len(self._started) == len(self.parts) and all(part.ready for part in self.parts)

    async def start(self) -> None:
        """Declare the queues, then start every part."""
        from skybus.bus.agents import host_names

        await self._setup.open()
        await self._setup.declare(self._queues(host_names(self.config)))
        for part in self.parts:
            await part.start()
            self._started.append(part)

    async def stop(self) -> None:
        """The other way round."""
        for part in reversed(self._started):
            await part.stop()
        await self._setup.close()
        await asyncio.sleep(0)

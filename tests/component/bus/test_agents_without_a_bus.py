"""An agent does not need the bus for what it keeps up on its host."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from skybus import clock
from skybus.bus.agent import CommandHandler, Tell
from skybus.bus.agents import Agents
from skybus.bus.envelope import ANSWERS, CONDUCTOR, REPORTS
from skybus.bus.memory import MemoryBroker, MemoryTransport
from skybus.bus.message import Command, Report
from skybus.bus.transport import BusError, Queue, command_queue
from skybus.config import Config, Host
from skybus.messages.network import NetworkReport

INBOX = Queue(name="skybus.reports", bindings=((ANSWERS, REPORTS), (ANSWERS, CONDUCTOR)))


class Keeper:
    """An agent that keeps something up on its host."""

    kind = "network"

    def __init__(self, config: Config, host: str) -> None:
        self.host = host
        self.keeps = False

    @property
    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        return {}

    async def start(self, tell: Tell) -> None:
        self.keeps = True

    async def report(self, *, started: bool) -> Report:
        return NetworkReport(host=self.host, taken_at=clock.now(), started=started, ports=[], networks=[])

    async def close(self) -> None:
        self.keeps = False


class AbsentTransport(MemoryTransport):
    """A bus that is not there before `present` is set."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.present = asyncio.Event()
        self.asked = 0

    async def open(self) -> None:
        self.asked += 1
        if not self.present.is_set():
            raise BusError("connecting to the broker")
        await super().open()


async def test_an_agent_keeps_its_host_going_before_the_bus_is_there_and_serves_it_then() -> None:
    broker = MemoryBroker()
    there = MemoryTransport(broker)
    await there.open()
    transport = AbsentTransport(broker)
    made: list[Keeper] = []

    def build(config: Config, host: str) -> Keeper:
        made.append(Keeper(config, host))
        return made[-1]

    agents = Agents(Config(host=Host(name="h1")), transport, build)
    starting = asyncio.create_task(agents.start())
    async with asyncio.timeout(10):
        while transport.asked < 2:
            await asyncio.sleep(0.02)
        assert ([agent.keeps for agent in made], agents.ready) == ([True], False)
        transport.present.set()
        # The broker knows no queue of ours yet: that, too, is waited for.
        await asyncio.sleep(0)
        await there.declare([INBOX, command_queue("network.h1")])
        await starting
    assert agents.ready
    assert await there.depth(INBOX.name) == 1
    await agents.stop()
    assert [agent.keeps for agent in made] == [False]

"""Hosts with simulated drivers: what is on them outlives their agents, and they may be slow, refuse, die, and lie."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from simulation.dice import Dice
from skybus.bus.agent import Agent, CommandHandler, Tell
from skybus.bus.message import Answer, Command, Report
from skybus.config import Config
from skybus.errors import CommandRefused, CommandTroubled
from skybus.messages.compute import GuestSeen, HypervisorReport
from skybus.messages.network import NetworkReport
from skybus.messages.volume import PoolReport
from skybus_compute.agent import ComputeAgent
from skybus_compute.simulated_driver import SimulatedHypervisor
from skybus_network.agent import NetworkAgent
from skybus_network.picture import Picture
from skybus_network.simulated_driver import SimulatedDataPlane
from skybus_volume.agent import VolumeAgent
from skybus_volume.simulated_driver import from_config as pool_from_config

KINDS = ("compute", "network", "volume")


class Moods(msgspec.Struct, kw_only=True):
    """How its agents treat an order, as probabilities of one order; and what the host says of itself."""

    slow: float = 0.0
    slow_seconds: float = 10.0
    troubled: float = 0.0
    refuses: float = 0.0
    lies: bool = False
    """Its reports leave something out and make something up."""


class HostWorld:
    """One host: its hypervisor, its pool, its data plane, and the picture of its networks that it has on disk."""

    def __init__(self, name: str, address: str, config: Config, dice: Dice) -> None:
        self.name, self.address, self.dice = name, address, dice
        self.moods = Moods()
        self.hypervisor = SimulatedHypervisor(config.compute)
        self.pool = pool_from_config(config, name)
        self.plane = SimulatedDataPlane()
        self.picture = Picture()

    def agent(self, kind: str) -> Agent:
        """A new agent of this host; it finds what an earlier one left."""
        made: dict[str, Callable[[], Agent]] = {
            "compute": lambda: ComputeAgent(self.name, self.address, self.hypervisor),
            "network": lambda: NetworkAgent(self.name, self.plane, self.picture),
            "volume": lambda: VolumeAgent(self.name, self.pool),
        }
        return MoodyAgent(made[kind](), self)

    async def lose_power(self) -> None:
        """Guests are off and taps are gone; disks stay. Its agents are dead already: nobody notices."""
        await self.hypervisor.close()
        for guest in await self.hypervisor.guests():
            self.hypervisor.happen(guest.server_id, "shutdown")
        self.plane.made.clear()


class MoodyAgent:
    """An agent as its host lets it be."""

    def __init__(self, agent: Agent, host: HostWorld) -> None:
        self.agent, self.world = agent, host
        self.kind, self.host = agent.kind, agent.host

    @property
    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        """The agent's own, each behind the host's mood."""
        return {kind: self._moody(handler) for kind, handler in self.agent.handlers.items()}

    async def start(self, tell: Tell) -> None:
        """Start the agent."""
        await self.agent.start(tell)

    async def close(self) -> None:
        """Close the agent."""
        await self.agent.close()

    async def report(self, *, started: bool) -> Report:
        """The truth, or what the host makes of it."""
        report = await self.agent.report(started=started)
        return lie(report, self.world.dice) if self.world.moods.lies else report

    def _moody(self, handler: CommandHandler) -> CommandHandler:
        async def carry_out(order: Any) -> Answer:
            moods, dice = self.world.moods, self.world.dice
            if dice.chance(moods.slow):
                await asyncio.sleep(dice.about(moods.slow_seconds))
            trouble, refusal, done = dice.chance(moods.troubled), dice.chance(moods.refuses), dice.chance(0.5)
            answer = await handler(order) if done or not (trouble or refusal) else None
            if refusal:
                raise CommandRefused("the host will not", code="faults.refused")
            if trouble or answer is None:
                raise CommandTroubled("the host cannot now", code="faults.troubled")
            return answer

        return carry_out


def lie(report: Report, dice: Dice) -> Report:
    """A report that leaves something out, or makes something up."""
    replace = msgspec.structs.replace
    if isinstance(report, HypervisorReport):
        guests = [guest for guest in report.guests if not dice.chance(0.3)]
        stranger = GuestSeen(server_id=_nobody(dice), power_state="running")
        off = [replace(guest, power_state="shutdown") if dice.chance(0.3) else guest for guest in guests]
        return replace(report, guests=[*off, stranger], vcpus=max(1, report.vcpus - 1))
    if isinstance(report, NetworkReport):
        return replace(report, ports=[port for port in report.ports if not dice.chance(0.3)])
    if isinstance(report, PoolReport):
        kept = [volume for volume in report.volumes if not dice.chance(0.3)]
        return replace(report, volumes=sorted([*kept, _nobody(dice)]), capacity_gib=max(1, report.capacity_gib - 1))
    return report


def _nobody(dice: Dice) -> str:
    number = f"{dice.getrandbits(128):032x}"
    return f"{number[:8]}-{number[8:12]}-4{number[13:16]}-8{number[17:20]}-{number[20:]}"

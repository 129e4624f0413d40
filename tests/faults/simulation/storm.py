"""What goes wrong, and when. Each seed has some kinds of faults and not others, so each is seen alone and together.

Nothing that a storm does outlives it: `calm` brings back whoever is down and lets the broker, the database, the hosts
and the clocks be honest again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from simulation.broker import Weather
from simulation.cloud import Cloud
from simulation.dice import Dice, dice
from simulation.hosts import Moods

KINDS = (
    "kill", "lost connections", "database away", "broker restart", "broker wiped", "late", "double", "unacked",
    "no confirm", "host dies", "host lies", "clock jumps", "slow", "troubled", "refuses",
    "slow database",
)  # fmt: skip
RARE = {"broker wiped": 0.12, "refuses": 0.35, "host lies": 0.25, "database away": 0.3}
"""How many of the seeds have a kind; the others are in half of them."""


class Storm:
    """The faults of one seed."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.dice: Dice = dice(cloud.seed, "storm")
        self.kinds = {kind for kind in KINDS if self.dice.chance(RARE.get(kind, 0.5))}
        self.blowing = False
        for process in cloud.processes.values():
            process.mourners.append(self._revive)

    async def blow(self) -> None:
        """Until cancelled."""
        self.blowing = True
        self._unsettle()
        strikes: dict[str, tuple[float, Callable[[], Awaitable[None]]]] = {
            "kill": (2.5, self._kill),
            "database away": (25, self._database_away),
            "broker restart": (20, self._broker_restart),
            "broker wiped": (25, self._broker_wiped),
            "host dies": (20, self._host_dies),
            "host lies": (15, self._host_lies),
            "clock jumps": (8, self._clock_jumps),
        }
        lanes = [self._again(*strikes[kind]) for kind in strikes if kind in self.kinds]
        try:
            await asyncio.gather(*lanes)
            await asyncio.sleep(1e6)
        finally:
            self.calm()

    def _unsettle(self) -> None:
        has, cloud = self.kinds.__contains__, self.cloud
        cloud.fate.mean_pause = 0.02 if has("slow database") else 0.0005
        cloud.fate.lost = 0.002 if has("lost connections") else 0
        cloud.broker.weather = Weather(
            late=0.06 if has("late") else 0,
            double=0.06 if has("double") else 0,
            unacked=0.06 if has("unacked") else 0,
            refused=0.03 if has("no confirm") else 0,
            unheard=0.005 if has("no confirm") else 0,
        )
        for host in cloud.hosts.values():
            host.moods = Moods(
                slow=0.1 if has("slow") else 0,
                troubled=0.1 if has("troubled") else 0,
                refuses=0.08 if has("refuses") else 0,
            )

    def calm(self) -> None:
        """It is over."""
        self.blowing = False
        cloud = self.cloud
        cloud.fate.lost, cloud.fate.is_away, cloud.fate.mean_pause = 0, False, 0.0005
        cloud.broker.weather = Weather()
        if not cloud.broker.up:
            cloud.broker.start()
        cloud.skew.clear()
        for host in cloud.hosts.values():
            host.moods = Moods()
        for process in cloud.processes.values():
            process.spare()
            process.start()

    async def _again(self, seconds: float, strike: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(self.dice.about(seconds))
            await strike()

    def _note(self, what: str) -> None:
        self.cloud.trace.note("fault", "-", what)
        self.cloud.trace.counts[f"fault: {what.split(':')[0]}"] += 1

    # --- strikes

    async def _kill(self) -> None:
        process = self.dice.choice(list(self.cloud.processes.values()))
        if process.alive:
            self._note(f"kill: {process.name}")
            process.kill(steps=self.dice.choice((0, self.dice.randint(1, 40), self.dice.randint(1, 400))))

    def _revive(self, name: str) -> None:
        if self.blowing:
            asyncio.get_running_loop().call_later(self.dice.about(2.0), self.cloud.processes[name].start)

    async def _database_away(self) -> None:
        self._note("database away")
        fate = self.cloud.fate
        fate.is_away = True
        for process in self.cloud.processes.values():
            if process.pool is not None:
                process.pool.lose_all()
        await asyncio.sleep(self.dice.about(3.0))
        fate.is_away = False

    async def _broker_restart(self) -> None:
        await self._broker_down(wiped=False)

    async def _broker_wiped(self) -> None:
        await self._broker_down(wiped=True)

    async def _broker_down(self, *, wiped: bool) -> None:
        if not self.cloud.broker.up:
            return
        self._note("broker wiped" if wiped else "broker restart")
        self.cloud.broker.stop()
        await asyncio.sleep(self.dice.about(3.0))
        self.cloud.broker.start(wiped=wiped)

    async def _host_dies(self) -> None:
        host = self.dice.choice(list(self.cloud.hosts.values()))
        self._note(f"host dies: {host.name}")
        for process in self.cloud.processes.values():
            if process.name.endswith(f".{host.name}"):
                process.kill()
        await host.lose_power()

    async def _host_lies(self) -> None:
        host = self.dice.choice(list(self.cloud.hosts.values()))
        self._note(f"host lies: {host.name}")
        host.moods.lies = True
        await asyncio.sleep(self.dice.about(20.0))
        host.moods.lies = False

    async def _clock_jumps(self) -> None:
        name = self.dice.choice(list(self.cloud.processes))
        ahead = self.dice.choice((0.0, self.dice.uniform(-5, 5), self.dice.uniform(-120, 120)))
        self._note(f"clock jumps: {name} by {ahead:.1f} s")
        self.cloud.skew[name] = ahead

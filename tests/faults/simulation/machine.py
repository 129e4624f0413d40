"""The users as a hypothesis state machine: what they do, and when, is drawn and shrunk; the weather is a seed's."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from simulation.cloud import Gone
from simulation.dice import Dice
from simulation.invariants import Watch
from simulation.run import buried, simulation, verdict
from simulation.site import Site
from simulation.storm import Storm
from simulation.users import ACTIONS, PROJECTS, Project, User, move_in

PAUSES = (0.0, 0.01, 0.1, 1.0, 5.0)
"""Virtual seconds between two things that users do."""


def machine(site: Site) -> type[RuleBasedStateMachine]:
    """The machine on `site`, where one example after another has the cloud for itself."""

    class Users(RuleBasedStateMachine):
        """One example: a cloud under a storm, and users who do what is drawn for them."""

        def __init__(self) -> None:
            super().__init__()
            self.kept = ExitStack()
            self.kept.enter_context(buried())
            self.doing: list[asyncio.Task[None]] = []

        @initialize(seed=st.integers(0, 10_000))
        def begin(self, seed: int) -> None:
            """A new cloud under the storm of that seed."""
            self.cloud = self.kept.enter_context(simulation(seed, site))
            self.watch = Watch(self.cloud)
            self.storm = Storm(self.cloud)
            self.run(self._move_in())
            self.blowing = self.cloud.loop.create_task(self.storm.blow())

        async def _move_in(self) -> None:
            await self.cloud.begin()
            self.cloud.projects = [Project(name) for name in PROJECTS]
            await move_in(self.cloud)

        def run(self, work: Any) -> Any:
            """Let time pass until `work` is done."""
            return self.cloud.loop.run_until_complete(work)

        @rule(
            who=st.sampled_from(range(len(PROJECTS))),
            action=st.sampled_from([action for action, _ in ACTIONS]),
            choice=st.integers(0, 1000),
            pause=st.sampled_from(PAUSES),
        )
        def act(self, who: int, action: Any, choice: int, pause: float) -> None:
            """Somebody begins something, and the others do not wait for its end."""
            user = User(self.cloud, self.cloud.projects[who], f"u{who}", Dice(choice))
            self.doing.append(self.cloud.loop.create_task(_tried(action, user)))
            self.run(asyncio.sleep(pause))

        def teardown(self) -> None:
            """The storm ends, and everything must be well."""
            try:
                if hasattr(self, "blowing"):
                    broken = self.run(self._end())
                    assert not broken, f"seed {self.cloud.seed}: " + "; ".join(broken)
            finally:
                self.kept.close()

        async def _end(self) -> list[str]:
            await asyncio.wait([*self.doing, self.cloud.loop.create_task(asyncio.sleep(0))])
            self.blowing.cancel()
            await asyncio.gather(self.blowing, return_exceptions=True)
            return await verdict(self.cloud, self.watch)

    return Users


async def _tried(action: Any, user: User) -> None:
    try:
        await action(user)
    except Gone:
        pass


def run_machine(site: Site, examples: int, steps: int) -> None:
    """So many examples of so many steps each, the same ones each time. Raises AssertionError with a small one."""
    chosen = settings(
        max_examples=examples, stateful_step_count=steps, derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    run_state_machine_as_test(machine(site), settings=chosen)

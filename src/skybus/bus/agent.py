"""What a host agent is to the bus: handlers by command, a heartbeat, and a way to say what it noticed by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from skybus.bus.message import Answer, Command, Report

CommandHandler = Callable[[Any], Awaitable[Answer]]
"""Carries out one command and answers with what is now true. May run twice, also at the same time as others; raises
`CommandRefused` for a final no and `CommandTroubled` when asking again could help."""

Tell = Callable[[Report], Awaitable[None]]
"""Sends a report to the conductor."""


class Agent(Protocol):
    """One kind of agent on one host."""

    kind: str
    """`compute`, `volume` or `network`; the agent's queue is `<kind>.<host>`."""
    host: str

    @property
    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        """What this agent can do."""
        ...

    async def start(self, tell: Tell) -> None:
        """Connect to the hypervisor, array or kernel; from now on noticed changes may be told."""
        ...

    async def report(self, *, started: bool) -> Report:
        """The heartbeat: what this host has and what is on it now."""
        ...

    async def close(self) -> None:
        """Let go of everything; what runs on the host goes on running."""
        ...

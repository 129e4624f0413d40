"""A lab of hosts in namespaces, and agents on them that are closed whatever happens."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from skybus.bus.message import Report
from skybus.config import Config
from skybus_network import build
from skybus_network.agent import NetworkAgent
from system.network_agent.lab import Lab, Starter


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Hosts on an underlay, removed at the end with all that is on them."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    made = Lab(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
async def start(lab: Lab) -> AsyncIterator[Starter]:
    """Starts the agent of a host; all are closed before the lab is."""
    agents: list[NetworkAgent] = []

    async def tell(report: Report) -> None:
        """Nobody listens."""

    async def start_agent(config: Config) -> NetworkAgent:
        agent = build(config, config.host.name)
        assert isinstance(agent, NetworkAgent)
        agents.append(agent)
        await agent.start(tell)
        return agent

    yield start_agent
    for agent in agents:
        await agent.close()

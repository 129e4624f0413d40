"""The simulated driver keeps the promises, and is light."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from component.volume_agent.volume_contract import VOLUME, VolumeContract
from skybus.bus.agent import Agent
from skybus.bus.message import Report
from skybus.config import Compute, Config, Volume
from skybus.messages.volume import MakeVolume
from skybus_volume import build, purge, stop_exports
from skybus_volume.agent import VolumeAgent

SIMULATED = Config(volume=Volume(driver="simulated", capacity_gib=100))


async def nobody(report: Report) -> None:
    raise AssertionError(f"a simulated pool notices nothing by itself: {report}")


class TestSimulatedVolumeAgent(VolumeContract):
    @pytest.fixture
    async def agent(self) -> VolumeAgent:
        agent = build(SIMULATED, "host-0001")
        await agent.start(nobody)
        return agent


async def test_a_process_stands_for_a_thousand_hosts() -> None:
    tracemalloc.start()
    try:
        agents: list[Agent] = [build(SIMULATED, f"host-{number:04}") for number in range(1000)]
        await asyncio.gather(*(agent.start(nobody) for agent in agents))
        reports = [await agent.report(started=True) for agent in agents]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len({report.subject for report in reports}) == 1000
    assert held < 10 << 20


async def test_a_simulated_action_takes_the_time_that_was_asked_for() -> None:
    config = Config(compute=Compute(simulated_seconds=0.05), volume=Volume(driver="simulated"))
    agent = build(config, "host-1")
    began = asyncio.get_running_loop().time()
    await agent.make(MakeVolume(volume_id=VOLUME, size_gib=1))
    assert asyncio.get_running_loop().time() - began >= 0.045
    assert (await agent.report(started=False)).capacity_gib == config.compute.simulated_disk_gib


async def test_ending_a_simulated_pool_is_content_to_find_nothing() -> None:
    await stop_exports(SIMULATED)
    await purge(SIMULATED)

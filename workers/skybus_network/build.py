"""Puts the network agent of one host together."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from skybus.bus.agent import Agent
from skybus.config import Config
from skybus_network.agent import NetworkAgent
from skybus_network.dataplane import DataPlane
from skybus_network.picture import Picture
from skybus_network.simulated_driver import SimulatedDataPlane


def build(config: Config, host: str) -> Agent:
    """The agent of `host`, not started yet. Raises `ConfigError` when names cannot hold the host or the prefix."""
    if config.network.driver == "simulated":
        return NetworkAgent(host, SimulatedDataPlane(), Picture())
    # The real driver brings netlink along; a process of simulated hosts need not pay for it.
    from skybus_network.picture_folder import PictureFolder

    picture = PictureFolder(_folder(config) / "networks")
    return NetworkAgent(host, _linux_bridge(config, host), picture, tend_seconds=config.host.report_seconds)


async def purge(config: Config, host: str) -> None:
    """Forget and remove every network of `host`. To be called when no agent and no guest of it runs: a tap that is in
    use stays. Raises `ConfigError` and `CommandTroubled`."""
    if config.network.driver == "simulated":
        return
    await asyncio.to_thread(shutil.rmtree, _folder(config) / "networks", ignore_errors=True)
    data_plane = _linux_bridge(config, host)
    await data_plane.open({})
    try:
        await data_plane.sweep()
    finally:
        await data_plane.close()


def _linux_bridge(config: Config, host: str) -> DataPlane:
    from skybus_network.linuxbridge.driver import LinuxBridge
    from skybus_network.linuxbridge.names import Names

    return LinuxBridge(
        names=Names(config.network.prefix, host),
        namespace=config.host.namespace,
        address=config.host.address,
        vxlan_port=config.network.vxlan_port,
        folder=_folder(config),
    )


def _folder(config: Config) -> Path:
    return config.host.state_dir.absolute() / "network"

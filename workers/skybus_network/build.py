"""Puts the network agent of one host together."""

from __future__ import annotations

from skybus.bus.agent import Agent
from skybus.config import Config
from skybus_network.agent import NetworkAgent
from skybus_network.picture import Picture
from skybus_network.simulated_driver import SimulatedDataPlane


def build(config: Config, host: str) -> Agent:
    """The agent of `host`, not started yet. Raises `ConfigError` when names cannot hold the host or the prefix."""
    if config.network.driver == "simulated":
        return NetworkAgent(host, SimulatedDataPlane(), Picture())
    # The real driver brings netlink along; a process of simulated hosts need not pay for it.
    from skybus_network.linuxbridge.driver import LinuxBridge
    from skybus_network.linuxbridge.names import Names
    from skybus_network.picture_folder import PictureFolder

    # The names are checked first: what follows would make folders.
    names = Names(config.network.prefix, host)
    folder = config.host.state_dir.absolute() / "network"
    data_plane = LinuxBridge(
        names=names,
        namespace=config.host.namespace,
        address=config.host.address,
        vxlan_port=config.network.vxlan_port,
        folder=folder,
    )
    return NetworkAgent(host, data_plane, PictureFolder(folder / "networks"), tend_seconds=config.host.report_seconds)

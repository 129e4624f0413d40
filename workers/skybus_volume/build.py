"""How a process gets its volume agent, and how an operator ends what outlives it."""

from __future__ import annotations

from skybus.config import Config
from skybus_volume import file_driver, simulated_driver
from skybus_volume.agent import VolumeAgent


def build(config: Config, host: str) -> VolumeAgent:
    """The volume agent of `host`, with the driver that the configuration names."""
    if config.volume.driver == "simulated":
        return VolumeAgent(host, simulated_driver.from_config(config, host))
    return VolumeAgent(host, file_driver.from_config(config))


async def stop_exports(config: Config) -> None:
    """Stop the host's target daemon, whose guests lose their volumes until an agent starts again. Content to find none
    running. For when the agent itself is stopped already, or it would start the daemon again at once."""
    if config.volume.driver == "file":
        await file_driver.from_config(config).stop()


async def purge(config: Config) -> None:
    """Stop the target daemon and delete the pool with every volume in it. Content to find nothing."""
    if config.volume.driver == "file":
        await file_driver.from_config(config).purge()

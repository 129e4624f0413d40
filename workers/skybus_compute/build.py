"""How a process gets its compute agent."""

from __future__ import annotations

from skybus.config import Config
from skybus_compute.agent import ComputeAgent
from skybus_compute.simulated_driver import SimulatedHypervisor


def build(config: Config, host: str) -> ComputeAgent:
    """The agent of `host` with the driver that `config.compute.driver` names. Light: connects to nothing yet."""
    if config.compute.driver == "simulated":
        return ComputeAgent(host, config.host.address, SimulatedHypervisor(config.compute))
    # The hypervisor's bindings are there on hosts that have a hypervisor, and nowhere else.
    from skybus_compute.libvirt_driver import LibvirtHypervisor

    return ComputeAgent(host, config.host.address, LibvirtHypervisor(config))

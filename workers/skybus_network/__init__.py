"""The network agent: one host's end of every network that has a port there."""

from skybus_network.build import build, purge

__all__ = ["build", "purge"]

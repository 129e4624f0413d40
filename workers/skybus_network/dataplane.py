"""What the agent asks of a data plane. The real one is `linuxbridge`, the pretended one `simulated_driver`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from skybus_network.picture import KnownNetwork


@dataclass(frozen=True, slots=True)
class Survey:
    """What a host finds when it looks at its data plane."""

    ports: frozenset[str] = frozenset()
    """Ids of the known ports whose taps exist on their bridges."""
    networks: frozenset[str] = frozenset()
    """Ids of all networks that have anything here, known or not."""
    ailing: frozenset[str] = field(default=frozenset())
    """Ids of known networks that lack something and need `apply`."""


class DataPlane(Protocol):
    """Makes the host as it should be. Every method may run twice; each raises `CommandTroubled` when the host did not
    do it this time, and `CommandRefused` when it never will."""

    async def open(self, networks: Mapping[str, KnownNetwork]) -> None:
        """Connect to the host. `networks` is what should be there, now and, being the agent's own, later."""
        ...

    async def apply(self, network: KnownNetwork) -> None:
        """Make or mend everything of `network` and its ports, and nothing else. Removes no tap."""
        ...

    async def tap_remove(self, network_id: str, port_id: str, tap: str) -> None:
        """Remove a port's tap, also one in use. Content to find none; leaves alone what is not that port's."""
        ...

    async def network_remove(self, network_id: str) -> None:
        """Remove everything of a network, known or not. Content to find nothing."""
        ...

    async def sweep(self) -> None:
        """Remove what is certainly ours, unknown, and in nobody's use."""
        ...

    async def survey(self) -> Survey:
        """Look, and change nothing."""
        ...

    async def close(self) -> None:
        """Let go. What is on the host goes on working, the metadata service excepted."""
        ...

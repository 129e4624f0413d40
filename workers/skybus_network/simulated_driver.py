"""A data plane that only remembers. One process may hold a thousand of them."""

from __future__ import annotations

from collections.abc import Mapping

from skybus_network.dataplane import Survey
from skybus_network.picture import KnownNetwork


class SimulatedDataPlane:
    """Does at once what it is told, in memory."""

    __slots__ = ("_networks", "made")

    def __init__(self) -> None:
        self.made: dict[str, dict[str, str]] = {}
        """The pretended kernel: taps by port id, by network id."""
        self._networks: Mapping[str, KnownNetwork] = {}

    async def open(self, networks: Mapping[str, KnownNetwork]) -> None:
        """Nothing to connect to."""
        self._networks = networks

    async def apply(self, network: KnownNetwork) -> None:
        """Pretend the bridge and its taps."""
        self.made.setdefault(network.id, {}).update({port.port_id: port.tap for port in network.ports.values()})

    async def tap_remove(self, network_id: str, port_id: str, tap: str) -> None:
        """Forget the tap, if it is that port's."""
        taps = self.made.get(network_id, {})
        if taps.get(port_id) == tap:
            del taps[port_id]

    async def network_remove(self, network_id: str) -> None:
        """Forget the network."""
        self.made.pop(network_id, None)

    async def sweep(self) -> None:
        """Forget what should not be."""
        for network_id in self.made.keys() - self._networks.keys():
            del self.made[network_id]

    async def survey(self) -> Survey:
        """What is pretended now."""
        ports = frozenset(port for taps in self.made.values() for port in taps)
        return Survey(ports=ports, networks=frozenset(self.made))

    async def close(self) -> None:
        """Nothing to let go of."""

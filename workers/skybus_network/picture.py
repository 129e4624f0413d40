"""What this host was told: the networks it takes part in and the ports on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from skybus.messages.network import PortBinding, Segment


@dataclass(slots=True)
class KnownNetwork:
    """One network and its ports on this host."""

    segment: Segment
    ports: dict[str, PortBinding] = field(default_factory=dict)
    """By port id."""

    @property
    def id(self) -> str:
        """The network's id."""
        return self.segment.network_id


class Picture:
    """The networks of one host, in memory: forgotten with the process."""

    def __init__(self) -> None:
        self._networks: dict[str, KnownNetwork] = {}

    @property
    def networks(self) -> Mapping[str, KnownNetwork]:
        """Every known network by id; always the same mapping."""
        return self._networks

    def ports(self) -> Iterator[tuple[KnownNetwork, PortBinding]]:
        """Every known port with its network."""
        for network in self._networks.values():
            for binding in network.ports.values():
                yield network, binding

    async def load(self) -> None:
        """Remember what an earlier process was told."""

    async def segment_put(self, segment: Segment) -> KnownNetwork:
        """Learn a network, or its new attributes."""
        network = self._networks.get(segment.network_id)
        if network is None:
            network = self._networks[segment.network_id] = KnownNetwork(segment)
        network.segment = segment
        return network

    async def port_put(self, network_id: str, binding: PortBinding) -> None:
        """Learn a port of a known network, or its new attributes."""
        self._networks[network_id].ports[binding.port_id] = binding

    async def port_drop(self, network_id: str, port_id: str) -> None:
        """Forget a port. Content to find none."""
        network = self._networks.get(network_id)
        if network is not None:
            network.ports.pop(port_id, None)

    async def network_drop(self, network_id: str) -> None:
        """Forget a network and its ports. Content to find none."""
        self._networks.pop(network_id, None)

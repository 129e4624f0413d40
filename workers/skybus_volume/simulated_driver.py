"""A pool in memory: keeps every promise of a pool but the bytes. Light enough for one process to hold thousands."""

from __future__ import annotations

import asyncio

from skybus.config import Config
from skybus.messages.volume import IscsiTarget
from skybus_volume.pool import Export, Noticed, Room


class SimulatedPool:
    """Remembers sizes and exports. Each action takes `seconds`."""

    def __init__(self, portal: str, capacity_gib: int, seconds: float = 0.0) -> None:
        self._portal = portal
        self._capacity_gib = capacity_gib
        self._seconds = seconds
        self._sizes: dict[str, int] = {}
        self._exports: dict[str, Export] = {}

    async def start(self, noticed: Noticed) -> None:
        """Nothing changes here without an order, so `noticed` is never called."""

    async def close(self) -> None:
        """What was made stays, as it does on a real host."""

    async def room(self) -> Room:
        """See `Pool.room`."""
        free = max(0, self._capacity_gib - sum(self._sizes.values()))
        return Room(capacity_gib=self._capacity_gib, free_gib=free)

    async def volumes(self) -> list[str]:
        """See `Pool.volumes`."""
        return list(self._sizes)

    async def size_of(self, volume_id: str) -> int | None:
        """See `Pool.size_of`."""
        return self._sizes.get(volume_id)

    async def make(self, volume_id: str, size_gib: int) -> None:
        """See `Pool.make`."""
        await self._take_time()
        self._sizes[volume_id] = size_gib

    async def remove(self, volume_id: str) -> None:
        """See `Pool.remove`."""
        await self._take_time()
        self._sizes.pop(volume_id, None)

    def ordered(self) -> list[Export]:
        """See `Pool.ordered`."""
        return list(self._exports.values())

    async def open_exports(self) -> list[Export]:
        """See `Pool.open_exports`."""
        return self.ordered()

    async def export(self, export: Export) -> IscsiTarget:
        """See `Pool.export`."""
        self._exports[export.attachment_id] = export
        await self._take_time()
        return export.target(self._portal)

    async def unexport(self, attachment_id: str) -> None:
        """See `Pool.unexport`."""
        await self._take_time()
        self._exports.pop(attachment_id, None)

    async def _take_time(self) -> None:
        if self._seconds:
            await asyncio.sleep(self._seconds)


def from_config(config: Config, host: str) -> SimulatedPool:
    """The simulated pool of `host`. A simulated host has one disk size and one latency, whichever agent is asked."""
    capacity = config.volume.capacity_gib or config.compute.simulated_disk_gib
    return SimulatedPool(f"{host}:{config.volume.portal_port}", capacity, config.compute.simulated_seconds)

"""A hypervisor that exists in memory alone: the cloud without QEMU, for tests, benchmarks and other people's tools.

A host costs a few hundred bytes and no task, so that one process can stand for a thousand.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from skybus.config import Compute
from skybus.errors import CloudError, CommandRefused
from skybus.messages.compute import GuestVolume, PowerState, SpawnGuest
from skybus_compute.hypervisor import Guest, HostFacts, Noticed
from skybus_compute.volume_device import device_name


@dataclass(slots=True)
class _Pretended:
    """A guest that is nothing but its state."""

    name: str
    power_state: PowerState = "shutdown"
    mark: str = ""
    boots: int = 0
    volumes: dict[str, str] = field(default_factory=dict)
    """Target device name by volume id."""


class FailureInjection:
    """For tests: makes the next calls of a simulated driver fail."""

    def __init__(self) -> None:
        self._planned: dict[str, deque[CloudError]] = {}

    def fail_next(self, method: str, error: CloudError) -> None:
        """The next call of `method` that has no failure planned yet raises `error`, and does nothing."""
        self._planned.setdefault(method, deque()).append(error)

    def strike(self, method: str) -> None:
        """Raise what was planned for this call of `method`, if anything was."""
        if planned := self._planned.get(method):
            raise planned.popleft()


class SimulatedHypervisor:
    """Satisfies `Hypervisor`. Each change takes `compute.simulated_seconds`; a guest shuts down when asked."""

    def __init__(self, config: Compute) -> None:
        self._config = config
        self._guests: dict[str, _Pretended] = {}
        self._noticed: Noticed | None = None
        self.failures = FailureInjection()

    async def start(self, noticed: Noticed) -> None:
        """Nothing to connect to."""
        self._noticed = noticed

    async def close(self) -> None:
        """Guests live as long as this object."""
        self._noticed = None

    async def facts(self) -> HostFacts:
        """What the configuration says."""
        config = self._config
        return HostFacts(
            hypervisor_type="simulated",
            hypervisor_version=1,
            vcpus=config.simulated_vcpus,
            memory_mib=config.simulated_memory_mib,
            disk_gib=config.simulated_disk_gib,
        )

    async def guests(self) -> list[Guest]:
        """All guests."""
        return [Guest(server_id=each, power_state=guest.power_state) for each, guest in self._guests.items()]

    async def find(self, server_id: str) -> Guest | None:
        """The guest, or None."""
        guest = self._guests.get(server_id)
        if guest is None:
            return None
        return Guest(server_id=server_id, power_state=guest.power_state, mark=guest.mark)

    async def fetch(self, order: SpawnGuest) -> None:
        """There are no images here."""
        self.failures.strike("fetch")

    async def define(self, order: SpawnGuest) -> None:
        """Remember the guest."""
        await self._act("define")
        guest = self._guests.setdefault(order.server_id, _Pretended(order.name))
        for volume in order.volumes:
            guest.volumes.setdefault(volume.volume_id, device_name(volume.device))

    async def undefine(self, server_id: str) -> None:
        """Forget the guest."""
        await self._act("undefine")
        self._guests.pop(server_id, None)

    async def power_on(self, server_id: str) -> Guest:
        """Say that it runs."""
        self._must_find(server_id)
        await self._act("power_on")
        guest = self._must_find(server_id)
        if guest.power_state != "running":
            guest.power_state = "running"
            guest.boots += 1
        return Guest(server_id=server_id, power_state="running", mark=guest.mark)

    async def shut_down(self, server_id: str, seconds: float) -> None:
        """A simulated guest obeys at once."""
        await self.power_off(server_id)

    async def power_off(self, server_id: str) -> None:
        """Say that it is off."""
        await self._act("power_off")
        if (guest := self._guests.get(server_id)) and guest.power_state in ("running", "paused"):
            guest.power_state = "shutdown"

    async def note(self, server_id: str, mark: str) -> None:
        """Remember the mark."""
        self.failures.strike("note")
        self._must_find(server_id).mark = mark

    async def plug(self, server_id: str, volume: GuestVolume) -> None:
        """Remember the disk."""
        device = device_name(volume.device)
        await self._act("plug")
        volumes = self._must_find(server_id).volumes
        if volume.volume_id not in volumes and device in volumes.values():
            raise CommandRefused(f"the guest has another disk as {volume.device}", code="compute.device-taken")
        volumes.setdefault(volume.volume_id, device)

    async def unplug(self, server_id: str, volume_id: str, attachment_id: str) -> None:
        """Forget the disk."""
        await self._act("unplug")
        if guest := self._guests.get(server_id):
            guest.volumes.pop(volume_id, None)

    async def console(self, server_id: str, most_bytes: int) -> bytes:
        """What a guest prints that has nothing to boot: its boots counted, and a login prompt while it runs."""
        guest = self._must_find(server_id)
        if not guest.boots:
            return b""
        text = f"simulated guest of server {server_id}, boot {guest.boots}\n"
        if guest.power_state == "running":
            text += "simulated login: "
        return text.encode()[-most_bytes:]

    def happen(self, server_id: str, state: PowerState) -> None:
        """For tests: the guest changes by itself, as real ones do; `absent` makes it vanish."""
        if state == "absent":
            self._guests.pop(server_id, None)
        else:
            self._guests[server_id].power_state = state
        if self._noticed is not None:
            self._noticed(server_id)

    def volumes_of(self, server_id: str) -> dict[str, str]:
        """For tests: target device names by volume id."""
        return dict(self._must_find(server_id).volumes)

    def boots_of(self, server_id: str) -> int:
        """For tests: how often the guest was started."""
        return self._must_find(server_id).boots

    def _must_find(self, server_id: str) -> _Pretended:
        guest = self._guests.get(server_id)
        if guest is None:
            raise CommandRefused("there is no such guest on this host", code="compute.no-guest")
        return guest

    async def _act(self, method: str) -> None:
        self.failures.strike(method)
        if self._config.simulated_seconds > 0:
            await asyncio.sleep(self._config.simulated_seconds)

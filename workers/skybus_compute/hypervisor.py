"""What the agent asks of a hypervisor driver. The libvirt and the simulated driver pass the same tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from skybus.messages.compute import GuestVolume, PowerState, SpawnGuest

Noticed = Callable[[str | None], None]
"""Called in the event loop when a guest may have changed by itself: with its server id, or None to look at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A guest as the hypervisor knows it now."""

    server_id: str
    power_state: PowerState
    vnc_port: int | None = None
    mark: str = ""
    """The last order that booted it, as `note` recorded it; empty before the first boot."""

    @property
    def is_on(self) -> bool:
        """Whether it holds its memory and devices, running or paused."""
        return self.power_state in ("running", "paused")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What a host has."""

    hypervisor_type: str
    hypervisor_version: int
    vcpus: int
    memory_mib: int
    disk_gib: int
    cpu_info: dict[str, Any] = field(default_factory=dict)


class Hypervisor(Protocol):
    """Guests on one host. Every method looks before it acts, so each may be repeated.

    All raise CommandTroubled when the hypervisor does not answer in time or fails, and CommandRefused for what it will
    never do. The agent calls them for one server one after the other, for different servers at the same time.
    """

    async def start(self, noticed: Noticed) -> None:
        """Connect; from now on `noticed` may be called."""
        ...

    async def close(self) -> None:
        """Let go; guests go on running."""
        ...

    async def facts(self) -> HostFacts:
        """What the host has."""
        ...

    async def guests(self) -> list[Guest]:
        """All guests of this cloud on the host, without `vnc_port` and `mark`."""
        ...

    async def find(self, server_id: str) -> Guest | None:
        """The guest of that server, or None."""
        ...

    async def fetch(self, order: SpawnGuest) -> None:
        """Have the order's image on the host, checked. May be cancelled at any point."""
        ...

    async def define(self, order: SpawnGuest) -> None:
        """Make the guest's disks and definition, without starting it. Fetches the image if that has not been done."""
        ...

    async def undefine(self, server_id: str) -> None:
        """Pull the plug and remove the guest, its files and its secrets."""
        ...

    async def power_on(self, server_id: str) -> Guest:
        """Start or resume a defined guest. Raises CommandRefused when there is none."""
        ...

    async def shut_down(self, server_id: str, seconds: float) -> None:
        """Ask the guest to power off and wait until it has, but not longer than `seconds`. May be cancelled."""
        ...

    async def power_off(self, server_id: str) -> None:
        """Pull the plug."""
        ...

    async def note(self, server_id: str, mark: str) -> None:
        """Record durably which order booted the guest last."""
        ...

    async def plug(self, server_id: str, volume: GuestVolume) -> None:
        """Give a guest a disk. Raises CommandRefused when there is no guest or its device name is taken."""
        ...

    async def unplug(self, server_id: str, volume_id: str, attachment_id: str) -> None:
        """Take a disk away and wait until the guest has let go. Content to find no guest or no disk."""
        ...

    async def console(self, server_id: str, most_bytes: int) -> bytes:
        """The end of the serial console. Raises CommandRefused when there is no guest."""
        ...

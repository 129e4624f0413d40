"""What a volume driver is: a pool of volumes that read as zeros until written, and the exports that are open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from skybus.messages.volume import ExportVolume, IscsiTarget

IQN_PREFIX = "iqn.2026-01.org.skybus:"
LUN = 1
"""tgt keeps LUN 0 of every target for its controller."""

Noticed = Callable[[], Awaitable[None]]
"""Called when exports changed without an order, as after a crash of the target daemon."""


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """One volume opened for one attachment. Holds a secret, so that its `repr` leaves the password out."""

    volume_id: str
    attachment_id: str
    chap_user: str
    chap_password: str
    initiator_address: str

    @classmethod
    def of(cls, order: ExportVolume) -> Export:
        """The export that `order` asks for."""
        return cls(
            volume_id=order.volume_id,
            attachment_id=order.attachment_id,
            chap_user=order.chap_user,
            chap_password=order.chap_password,
            initiator_address=order.initiator_address,
        )

    @property
    def iqn(self) -> str:
        """The name of the target; one attachment has one target, so that ending it cannot touch another's."""
        return IQN_PREFIX + self.attachment_id

    def target(self, portal: str) -> IscsiTarget:
        """How the initiator reaches this export at `portal` (address:port)."""
        return IscsiTarget(
            portal=portal, iqn=self.iqn, lun=LUN, chap_user=self.chap_user, chap_password=self.chap_password
        )

    def __repr__(self) -> str:
        return f"Export(volume_id={self.volume_id!r}, attachment_id={self.attachment_id!r})"


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """How big the pool is and how much of it is not promised to a volume, in GiB."""

    capacity_gib: int
    free_gib: int


class Pool(Protocol):
    """A driver. The agent holds the volume's lock around each call, so that calls about one volume never overlap;
    calls about different volumes do. All raise `CommandTroubled` when asking again could help."""

    async def start(self, noticed: Noticed) -> None:
        """Open the pool, made on first use, and bring back every export that was open when the agent last ran."""
        ...

    async def close(self) -> None:
        """Let go. Open exports stay open, for guests use them."""
        ...

    async def room(self) -> Room:
        """Size of the pool and what is left of it."""
        ...

    async def volumes(self) -> list[str]:
        """Ids of the volumes in the pool."""
        ...

    async def size_of(self, volume_id: str) -> int | None:
        """Size in GiB, or None when the pool has no such volume."""
        ...

    async def make(self, volume_id: str, size_gib: int) -> None:
        """Allocate a volume that is not there yet, whole or not at all; it reads as zeros, whatever was deleted
        before it. Raises `CommandRefused` for a size that cannot be had."""
        ...

    async def remove(self, volume_id: str) -> None:
        """Delete a volume without exports. Content to find none."""
        ...

    def ordered(self) -> list[Export]:
        """Every export that was ordered and not ended, open or about to be opened again."""
        ...

    async def open_exports(self) -> list[Export]:
        """The exports that an initiator can log in to now."""
        ...

    async def export(self, export: Export) -> IscsiTarget:
        """Open `export`. An open one stays untouched when it is the same in every field, and is replaced, its sessions
        closed, when it is not."""
        ...

    async def unexport(self, attachment_id: str) -> None:
        """End an export and close its sessions. Content to find none."""
        ...

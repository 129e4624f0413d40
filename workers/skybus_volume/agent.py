"""The volume agent of one host: carries out the conductor's orders on a pool, and reports what is in it."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from skybus import clock
from skybus.bus.agent import CommandHandler, Tell
from skybus.bus.message import Command
from skybus.errors import CommandRefused
from skybus.messages.volume import (
    ExportSeen,
    ExportVolume,
    MakeVolume,
    PoolReport,
    RemoveVolume,
    UnexportVolume,
    VolumeExported,
    VolumeMade,
    VolumeRemoved,
    VolumeUnexported,
)
from skybus_volume.locks import Locks
from skybus_volume.orders import check_export, check_id, check_size
from skybus_volume.pool import Export, Pool

log = structlog.get_logger()


class VolumeAgent:
    """Looks, acts, answers. Every order may come twice, late, and at the same time as others; orders about one volume
    are carried out one at a time, in the order in which they came."""

    kind = "volume"

    def __init__(self, host: str, pool: Pool) -> None:
        self.host = host
        self.pool = pool
        self._locks = Locks()
        self._tell: Tell | None = None

    @property
    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        """What this agent can do."""
        return {
            MakeVolume: self.make,
            RemoveVolume: self.remove,
            ExportVolume: self.export,
            UnexportVolume: self.unexport,
        }

    async def start(self, tell: Tell) -> None:
        """Open the pool and bring its exports back. Raises `CloudError` when the host cannot do that."""
        self._tell = tell
        await self.pool.start(self._noticed)

    async def close(self) -> None:
        """Let go of the pool. Exports stay open: guests have disks on them."""
        await self.pool.close()

    async def report(self, *, started: bool) -> PoolReport:
        """The heartbeat: the pool, the volumes in it, the exports that an initiator can reach now."""
        room = await self.pool.room()
        return PoolReport(
            host=self.host,
            taken_at=clock.now(),
            started=started,
            capacity_gib=room.capacity_gib,
            free_gib=room.free_gib,
            volumes=sorted(await self.pool.volumes()),
            exports=[
                ExportSeen(volume_id=export.volume_id, attachment_id=export.attachment_id)
                for export in await self.pool.open_exports()
            ],
        )

    async def make(self, order: MakeVolume) -> VolumeMade:
        """Allocate a volume, or find it there with the same size."""
        check_id(order.volume_id, "a volume")
        check_size(order.size_gib)
        async with self._locks.one_at_a_time(order.volume_id):
            size = await self.pool.size_of(order.volume_id)
            if size is None:
                await self.pool.make(order.volume_id, order.size_gib)
                log.info("volume_made", host=self.host, volume_id=order.volume_id, size_gib=order.size_gib)
            elif size != order.size_gib:
                raise CommandRefused(
                    f"volume {order.volume_id} exists with {size} GiB and was asked for with {order.size_gib}",
                    code="volume.size-differs",
                )
            return VolumeMade(volume_id=order.volume_id, size_gib=order.size_gib)

    async def remove(self, order: RemoveVolume) -> VolumeRemoved:
        """End every export of a volume, then delete it. Content to find nothing."""
        check_id(order.volume_id, "a volume")
        async with self._locks.one_at_a_time(order.volume_id):
            for export in self._exports_of(order.volume_id):
                await self.pool.unexport(export.attachment_id)
                log.warning(
                    "export_ended_by_removal",
                    host=self.host,
                    volume_id=order.volume_id,
                    attachment_id=export.attachment_id,
                )
            await self.pool.remove(order.volume_id)
            log.info("volume_removed", host=self.host, volume_id=order.volume_id)
            return VolumeRemoved(volume_id=order.volume_id)

    async def export(self, order: ExportVolume) -> VolumeExported:
        """Open a volume to one initiator for one attachment. Refuses a second attachment while the first is open."""
        check_export(order)
        async with self._locks.one_at_a_time(order.volume_id):
            if await self.pool.size_of(order.volume_id) is None:
                raise CommandRefused(f"volume {order.volume_id} is not on this host", code="volume.not-found")
            self._refuse_conflict(order)
            target = await self.pool.export(Export.of(order))
            log.info("volume_exported", host=self.host, volume_id=order.volume_id, attachment_id=order.attachment_id)
            return VolumeExported(volume_id=order.volume_id, attachment_id=order.attachment_id, target=target)

    async def unexport(self, order: UnexportVolume) -> VolumeUnexported:
        """End an export and close its sessions. Content to find none."""
        check_id(order.volume_id, "a volume")
        check_id(order.attachment_id, "an attachment")
        async with self._locks.one_at_a_time(order.volume_id):
            # Only this volume's: an attachment id that belongs to another volume is not ours to end.
            for export in self._exports_of(order.volume_id):
                if export.attachment_id == order.attachment_id:
                    await self.pool.unexport(order.attachment_id)
                    log.info(
                        "volume_unexported",
                        host=self.host,
                        volume_id=order.volume_id,
                        attachment_id=order.attachment_id,
                    )
            return VolumeUnexported(volume_id=order.volume_id, attachment_id=order.attachment_id)

    def _exports_of(self, volume_id: str) -> list[Export]:
        return [export for export in self.pool.ordered() if export.volume_id == volume_id]

    def _refuse_conflict(self, order: ExportVolume) -> None:
        """The last guard against a volume that two guests write, or that a former guest still reaches."""
        for other in self.pool.ordered():
            same_attachment = other.attachment_id == order.attachment_id
            if other.volume_id == order.volume_id and not same_attachment:
                raise CommandRefused(
                    f"volume {order.volume_id} is open for attachment {other.attachment_id}", code="volume.in-use"
                )
            if same_attachment and other.volume_id != order.volume_id:
                raise CommandRefused(
                    f"attachment {order.attachment_id} belongs to another volume", code="volume.attachment-taken"
                )
            if other.chap_user == order.chap_user and not same_attachment:
                # tgtd knows one password per user name, whatever the target.
                raise CommandRefused("the CHAP user belongs to another attachment", code="volume.credentials-taken")

    async def _noticed(self) -> None:
        if self._tell is not None:
            await self._tell(await self.report(started=False))

"""A pool of sparse files, exported over iSCSI by a tgtd of the host's own."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import structlog

from skybus.config import Config
from skybus.errors import CommandRefused, CommandTroubled
from skybus.messages.volume import IscsiTarget
from skybus_volume.book import Book
from skybus_volume.disks import Disks
from skybus_volume.iscsi import Target, Targets
from skybus_volume.pool import Export, Noticed, Room
from skybus_volume.tgtd import Tgtd

log = structlog.get_logger()

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
"""Seconds between two tries to bring the target daemon back."""


class FilePool:
    """Keeps the order in which a crash loses nothing: an export is noted on disk before it is opened, and struck after
    it was closed."""

    def __init__(self, folder: Path, disks: Disks, book: Book, tgtd: Tgtd) -> None:
        self._folder = folder
        self._disks = disks
        self._book = book
        self._tgtd = tgtd
        self._targets = Targets(tgtd.control)
        self._turn = asyncio.Lock()
        """Held while targets are changed or compared."""
        self._settled = False
        """Whether the running daemon has been compared with the book."""
        self._watch: asyncio.Task[None] | None = None

    async def start(self, noticed: Noticed) -> None:
        """See `Pool.start`. Raises TargetDaemonFailed with what stands in the way."""
        await asyncio.to_thread(self._open)
        async with self._turn:
            await self._settle()
        self._watch = asyncio.create_task(self._keep_up(noticed), name="volume-target-daemon-watch")

    async def close(self) -> None:
        """See `Pool.close`."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None

    async def stop(self) -> None:
        """Stop the target daemon. Its exports come back with the next start."""
        await self.close()
        async with self._turn:
            self._settled = False
            await self._tgtd.stop()

    async def purge(self) -> None:
        """Stop the target daemon and delete every volume. Content to find nothing."""
        await self.stop()
        if await asyncio.to_thread(self._folder.exists):
            await asyncio.to_thread(shutil.rmtree, self._folder)

    async def room(self) -> Room:
        """See `Pool.room`."""
        return await asyncio.to_thread(self._disks.room)

    async def volumes(self) -> list[str]:
        """See `Pool.volumes`."""
        return list(await asyncio.to_thread(self._disks.all))

    async def size_of(self, volume_id: str) -> int | None:
        """See `Pool.size_of`."""
        return await asyncio.to_thread(self._disks.size_gib, volume_id)

    async def make(self, volume_id: str, size_gib: int) -> None:
        """See `Pool.make`."""
        await asyncio.to_thread(self._disks.make, volume_id, size_gib)

    async def remove(self, volume_id: str) -> None:
        """See `Pool.remove`."""
        await asyncio.to_thread(self._disks.remove, volume_id)

    def ordered(self) -> list[Export]:
        """See `Pool.ordered`."""
        return self._book.all()

    async def open_exports(self) -> list[Export]:
        """See `Pool.open_exports`. None while the daemon is down."""
        async with self._turn:
            try:
                targets = await self._targets.all()
            except CommandTroubled as error:
                log.warning("exports_unknown", reason=error.reason)
                return []
        return [export for export in self._book.all() if self._is_open(export, targets)]

    async def export(self, export: Export) -> IscsiTarget:
        """See `Pool.export`."""
        async with self._turn:
            await self._settle()
            if self._book.get(export.attachment_id) != export:
                # The old credentials end before the new ones are noted: a crash in between must not keep them alive.
                await self._close(export.attachment_id)
                await self._note(export)
            await self._targets.ensure(export, self._disks.path(export.volume_id))
        return export.target(self._tgtd.portal)

    async def unexport(self, attachment_id: str) -> None:
        """See `Pool.unexport`."""
        async with self._turn:
            await self._close(attachment_id)

    async def _close(self, attachment_id: str) -> None:
        """Delete the target, then the note of it. A daemon that is down, and may stay so, does not stand in the way."""
        export = self._book.get(attachment_id)
        if export is None:
            return
        if await asyncio.to_thread(self._tgtd.control.pid) is not None:
            target = (await self._targets.all()).get(export.iqn)
            if target is not None:
                await self._targets.remove(target)
        try:
            await self._book.strike(attachment_id)
        except OSError as error:
            raise CommandTroubled(
                f"the note of an export cannot be deleted: {error.strerror}", code="volume.pool-broken"
            ) from error

    async def _note(self, export: Export) -> None:
        try:
            await self._book.note(export)
        except OSError as error:
            raise CommandTroubled(f"an export cannot be noted: {error.strerror}", code="volume.pool-full") from error

    async def _settle(self) -> None:
        """See to it that the daemon runs and has exactly the targets that the book has. The turn is ours."""
        if self._settled:
            return
        await self._tgtd.ensure()
        targets = await self._targets.all()
        wanted = {export.iqn for export in self._book.all()}
        for iqn in set(targets) - wanted:
            # The daemon is ours alone, so a target that is not in the book was being ended when we died. Left open it
            # would let a former guest in.
            log.warning("export_unknown_closed", iqn=iqn)
            await self._targets.remove(targets.pop(iqn))
        for export in self._book.all():
            await self._reopen(export, targets)
        self._settled = True

    async def _reopen(self, export: Export, targets: dict[str, Target]) -> None:
        """Bring one export back; one that cannot be opened must not keep the others closed."""
        try:
            await self._targets.ensure(export, self._disks.path(export.volume_id), known=targets)
        except CommandTroubled as error:
            log.error(
                "export_not_reopened",
                volume_id=export.volume_id,
                attachment_id=export.attachment_id,
                reason=error.reason,
            )

    async def _keep_up(self, noticed: Noticed) -> None:
        """Whenever the daemon ends, bring it and its exports back, and say so."""
        while True:
            try:
                await self._tgtd.gone()
            except CommandTroubled as error:
                log.error("target_daemon_hangs", reason=error.reason)
                await asyncio.sleep(LONGEST_PAUSE)
                continue
            self._settled = False
            log.error("target_daemon_died")
            await self._come_back()
            try:
                await noticed()
            except Exception:
                log.exception("report_not_sent")  # the next heartbeat says it too; the watch must go on

    async def _come_back(self) -> None:
        pause = FIRST_PAUSE
        while not self._settled:
            try:
                async with self._turn:
                    await self._settle()
            except (CommandTroubled, OSError) as error:
                log.error("target_daemon_not_back", reason=str(error), seconds=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _is_open(self, export: Export, targets: dict[str, Target]) -> bool:
        target = targets.get(export.iqn)
        return target is not None and target.serves(export, self._disks.path(export.volume_id))

    def _open(self) -> None:
        try:
            self._disks.prepare()
            self._book.load()
        except OSError as error:
            raise CommandTroubled(
                f"the pool at {self._folder} cannot be opened: {error}", code="volume.pool-broken"
            ) from error


def from_config(config: Config) -> FilePool:
    """The pool under the host's state folder. Raises CommandRefused for a folder that tgtd could not be told."""
    folder = config.host.state_dir.absolute() / "volumes"
    if "," in str(folder) or not str(folder).isprintable():
        raise CommandRefused(f"host.state_dir {folder} has a comma or a control character", code="volume.pool-broken")
    return FilePool(
        folder,
        Disks(folder / "disks", folder / "pool.json", config.volume.capacity_gib),
        Book(folder / "exports"),
        Tgtd(folder / "tgt", config.host.address, config.volume.portal_port, config.host.namespace),
    )

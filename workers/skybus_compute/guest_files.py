"""The files of one guest, all in one folder: its base image, its disk, its config drive, its console."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from skybus.errors import CommandTroubled
from skybus.messages.compute import SpawnGuest
from skybus_compute.config_drive import write_config_drive
from skybus_compute.identifiers import checked_id
from skybus_compute.image_cache import ImageCache
from skybus_compute.image_check import refused, virtual_size
from skybus_compute.image_download import disk_error
from skybus_compute.limited import run_limited

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class GuestFiles:
    """Where the files of a guest are; `folder` is named after its server."""

    folder: Path

    @classmethod
    def of(cls, guests_dir: Path, server_id: str) -> GuestFiles:
        """The files of the guest of `server_id`. Raises CommandRefused for what is no id."""
        return cls(guests_dir / checked_id(server_id, "server"))

    @property
    def base(self) -> Path:
        """A hard link to the cached image."""
        return self.folder / "base"

    @property
    def disk(self) -> Path:
        """The root disk, a qcow2 overlay on `base`."""
        return self.folder / "disk.qcow2"

    @property
    def config_drive(self) -> Path:
        """The config drive, if there is one."""
        return self.folder / "config.iso"

    @property
    def console(self) -> Path:
        """What the guest printed on its serial port since it was last started."""
        return self.folder / "console.log"

    async def make(self, order: SpawnGuest, cache: ImageCache) -> None:
        """Have all files that `order` needs; what is there stays. Raises CommandRefused, CommandTroubled."""
        try:
            await asyncio.to_thread(self.folder.mkdir, 0o711, parents=True, exist_ok=True)
            await cache.link(order.image, self.base)
            await self._make_disk(order)
            if order.config_drive and order.metadata is not None and not self.config_drive.exists():
                await write_config_drive(order.metadata, self.config_drive)
        except OSError as error:
            raise disk_error(error, "the guest's files") from error

    async def remove(self) -> None:
        """Leave nothing. Content to find nothing. Raises CommandTroubled."""
        try:
            with contextlib.suppress(FileNotFoundError):
                await asyncio.to_thread(shutil.rmtree, self.folder)
        except OSError as error:
            raise CommandTroubled(f"cannot remove the guest's files: {error.strerror}") from error

    def read_console(self, most_bytes: int) -> bytes:
        """The console's last bytes. The log may have been rotated in between: then the older part comes from there."""
        newest = _tail(self.console, most_bytes)
        if len(newest) < most_bytes:
            older = self.console.with_name(self.console.name + ".0")
            newest = _tail(older, most_bytes - len(newest)) + newest
        return newest

    async def _make_disk(self, order: SpawnGuest) -> None:
        """The overlay gets its name when it is complete."""
        if self.disk.exists():
            return
        image_size = await asyncio.to_thread(virtual_size, self.base, order.image.disk_format)
        size = order.disk_gib * GIB or image_size
        if size < image_size:
            needed = -(-image_size // GIB)
            raise refused(f"its disk has {needed} GiB and the flavor's {order.disk_gib}")
        part = self.folder / "disk.part"
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", order.image.disk_format, "-b", str(self.base)]
        await run_limited([*argv, str(part), str(size)], what="make the guest's disk")
        part.chmod(0o600)
        part.rename(self.disk)


def _tail(path: Path, most_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - most_bytes))
            return file.read(most_bytes)
    except FileNotFoundError:
        return b""

"""The files behind volumes. Blocking: call from a thread.

A volume is a sparse file of its own, so it reads as zeros until written: a deleted volume's blocks go back to the file
system, which never shows old blocks through a hole. Nothing of a former tenant can be read in a new volume.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import msgspec

from skybus.errors import CommandRefused, CommandTroubled
from skybus_volume.durable import make_folder, sync_folder, write_file
from skybus_volume.pool import Room

GIB = 1 << 30
SUFFIX = ".raw"
UNFINISHED = ".part"


class _Size(msgspec.Struct):
    capacity_gib: int


class Disks:
    """One folder of volumes and the file that remembers the pool's size."""

    def __init__(self, folder: Path, size_file: Path, capacity_gib: int) -> None:
        """`capacity_gib` 0 means what the file system has free when the pool is made."""
        self._folder = folder
        self._size_file = size_file
        self._asked_gib = capacity_gib
        self._capacity_gib = capacity_gib

    def prepare(self) -> None:
        """Make the folder, forget half-made volumes, learn the capacity. Raises OSError."""
        make_folder(self._folder)
        for leftover in self._folder.glob("*" + UNFINISHED):
            leftover.unlink(missing_ok=True)
        self._capacity_gib = self._asked_gib or self._remembered_gib()

    def path(self, volume_id: str) -> Path:
        """Where the volume is, or would be."""
        return self._folder / (volume_id + SUFFIX)

    def size_gib(self, volume_id: str) -> int | None:
        """Size in GiB, or None when there is no such volume."""
        try:
            return self.path(volume_id).stat().st_size // GIB
        except FileNotFoundError:
            return None

    def all(self) -> dict[str, int]:
        """Every volume's size in GiB by its id."""
        with os.scandir(self._folder) as entries:
            return {
                entry.name.removesuffix(SUFFIX): entry.stat().st_size // GIB
                for entry in entries
                if entry.name.endswith(SUFFIX)
            }

    def room(self) -> Room:
        """The pool's size, and what of it is not promised yet."""
        promised = sum(self.all().values())
        return Room(capacity_gib=self._capacity_gib, free_gib=max(0, self._capacity_gib - promised))

    def make(self, volume_id: str, size_gib: int) -> None:
        """Create the volume, whole or not at all, and durably. Raises CommandRefused, CommandTroubled."""
        unfinished = self._folder / (volume_id + UNFINISHED)
        try:
            fd = os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(fd, size_gib * GIB)
                os.fsync(fd)
            finally:
                os.close(fd)
            unfinished.rename(self.path(volume_id))
            sync_folder(self._folder)
        except (OSError, OverflowError) as error:
            unfinished.unlink(missing_ok=True)
            raise _said(error, size_gib) from error

    def remove(self, volume_id: str) -> None:
        """Delete the volume, durably. Content to find none. Raises CommandTroubled."""
        try:
            self.path(volume_id).unlink(missing_ok=True)
            sync_folder(self._folder)
        except OSError as error:
            raise CommandTroubled(
                f"the volume's file cannot be deleted: {error.strerror}", code="volume.pool-broken"
            ) from error

    def _remembered_gib(self) -> int:
        try:
            return msgspec.json.decode(self._size_file.read_bytes(), type=_Size).capacity_gib
        except FileNotFoundError:
            free = shutil.disk_usage(self._folder).free // GIB
            write_file(self._size_file, msgspec.json.encode(_Size(capacity_gib=free)))
            return free


def _said(error: OSError | OverflowError, size_gib: int) -> CommandRefused | CommandTroubled:
    """What went wrong with a new file, in the caller's words."""
    number = error.errno if isinstance(error, OSError) else errno.EFBIG
    if number in (errno.ENOSPC, errno.EDQUOT):
        return CommandTroubled("the pool's file system is full", code="volume.pool-full")
    if number in (errno.EFBIG, errno.EINVAL):
        return CommandRefused(
            f"the pool's file system cannot hold one file of {size_gib} GiB", code="volume.size-invalid"
        )
    return CommandTroubled(f"the volume's file cannot be made: {os.strerror(number or 0)}", code="volume.pool-broken")

"""Image data in a folder: one file an image, and a folder beside it for what is still arriving."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Collection
from pathlib import Path

from skybus.image.store import DEFAULT_MAX_BYTES, StoreFull, StoreTroubled

RESERVE = 64 << 20
"""Bytes of the file system that image data never takes: databases may live there too."""


class FsStore:
    """Keeps images under `folder`. Half-received files are locked by who writes them, so that a sweep can tell the
    writing of a living process from the leavings of a dead one."""

    store_id = "file"
    description = "Files of the gateway"

    def __init__(self, folder: Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.folder = folder
        self.arriving = folder / "arriving"
        self.max_bytes = max_bytes

    def receive(self, name: str) -> FsIncoming:
        """Open a file for `name`. Raises StoreFull, StoreTroubled."""
        try:
            self.arriving.mkdir(mode=0o700, parents=True, exist_ok=True)
            return FsIncoming(self.arriving / name, self.path(name))
        except OSError as error:
            raise _trouble("opening a file for an image", error) from error

    def path(self, name: str) -> Path:
        """Where `name` is or will be."""
        return self.folder / name

    def remove(self, name: str) -> None:
        """Unlink the file of `name`, if there is one. Raises StoreTroubled."""
        try:
            self.path(name).unlink(missing_ok=True)
        except OSError as error:
            raise _trouble("removing an image", error) from error

    def sweep(self, known: Collection[str], older_than_seconds: float) -> list[str]:
        """Remove orphans; answer their names."""
        gone = [path for path in _files(self.arriving) if _unlink_unless_written(path)]
        limit = time.time() - older_than_seconds
        for path in _files(self.folder):
            if path.name not in known and path.stat().st_mtime < limit:
                path.unlink(missing_ok=True)
                gone.append(path)
        return [path.name for path in gone]


class FsIncoming:
    """One file on its way in."""

    def __init__(self, temporary: Path, final: Path) -> None:
        self.temporary = temporary
        self.final = final
        self._fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def write(self, chunk: bytes) -> None:
        """Append `chunk`. Raises StoreFull before the file system is exhausted, StoreTroubled on any other error."""
        try:
            disk = os.fstatvfs(self._fd)
            if disk.f_bavail * disk.f_frsize < RESERVE + len(chunk):
                raise StoreFull("Image storage media is full.")
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise _trouble("writing an image", error) from error

    def commit(self) -> None:
        """fsync, rename, fsync the folder."""
        try:
            os.fsync(self._fd)
            os.rename(self.temporary, self.final)
            folder = os.open(self.final.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise _trouble("making an image durable", error) from error
        self._close()

    def abort(self) -> None:
        """Unlink what arrived. What was committed stays: only who knows the database may say that it is useless."""
        self._close()
        self.temporary.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def _unlink_unless_written(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(fd)


def _trouble(doing: str, error: OSError) -> StoreFull | StoreTroubled:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreFull("Image storage media is full.")
    return StoreTroubled(f"The image store failed while {doing}: {error.strerror}.")

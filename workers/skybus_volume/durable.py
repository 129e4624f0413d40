"""Writing files so that a crash leaves the old one or the new one, and nothing between. Blocking."""

from __future__ import annotations

import os
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Make `folder`, readable by us alone. Content to find it."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


def write_file(path: Path, body: bytes) -> None:
    """Replace `path` by `body`, durably; readable by us alone. Raises OSError and then leaves the old file."""
    unfinished = path.with_name(path.name + ".part")
    fd = os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_folder(path.parent)


def remove_file(path: Path) -> None:
    """Delete `path`, durably. Content to find none. Raises OSError."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

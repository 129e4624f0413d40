"""The agent's picture of its exports on disk: what brings them back after a crash of the target daemon or the host.

One file per export, mode 600 in a folder of mode 700, for it holds the CHAP password.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import structlog

from skybus_volume.durable import make_folder, remove_file, write_file
from skybus_volume.pool import Export

log = structlog.get_logger()


class Book:
    """Every export that was ordered and not ended, in memory and, before it is opened, on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._exports: dict[str, Export] = {}

    def load(self) -> None:
        """Read the folder; blocks, so call it from a thread.

        A file that cannot be read is left there, logged, and counts as no export.
        """
        make_folder(self._folder)
        for leftover in self._folder.glob("*.part"):
            leftover.unlink(missing_ok=True)
        self._exports = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                export = msgspec.json.decode(path.read_bytes(), type=Export)
            except (OSError, msgspec.MsgspecError) as error:
                log.error("export_record_unreadable", file=path.name, reason=type(error).__name__)
                continue
            self._exports[export.attachment_id] = export

    def all(self) -> list[Export]:
        """The exports, in the order in which they were noted."""
        return list(self._exports.values())

    def get(self, attachment_id: str) -> Export | None:
        """The export of an attachment, if it was ordered."""
        return self._exports.get(attachment_id)

    async def note(self, export: Export) -> None:
        """Remember `export`, durably. Raises OSError."""
        # In memory first: the guard against a second export must hold while the file is being written.
        self._exports[export.attachment_id] = export
        await asyncio.to_thread(write_file, self._path(export.attachment_id), msgspec.json.encode(export))

    async def strike(self, attachment_id: str) -> None:
        """Forget an export, durably. Content to find none. Raises OSError."""
        await asyncio.to_thread(remove_file, self._path(attachment_id))
        self._exports.pop(attachment_id, None)

    def _path(self, attachment_id: str) -> Path:
        return self._folder / (attachment_id + ".json")

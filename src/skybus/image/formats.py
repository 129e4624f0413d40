"""What image data really is, seen while it streams past: nothing enters the store under a false name.

An image that says `raw` and is a qcow2 file, or a qcow2 file that names a file of the host as its backing or data file,
has read other people's disks in every cloud that trusted it (CVE-2024-32498, CVE-2022-47951, CVE-2015-5163).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import structlog

from skybus.errors import UnsupportedMedia
from skybus.image.signatures import SECTOR, guessed

if TYPE_CHECKING:
    from oslo_utils.imageutils.format_inspector import FileInspector, InspectWrapper

log = structlog.get_logger()

DISK_FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop")
NESTED = frozenset({"ovf", "ova", "docker", "compressed"})
"""Containers whose data is an archive around the disk, so that the disk's own header cannot be seen."""
STRUCTURED = frozenset({"qcow2", "vmdk", "vhd", "vhdx", "vdi"})
PLAIN = frozenset({"raw", "gpt"})
"""Bytes without a format of their own; `gpt` is what a disk with a partition table, or any boot sector, looks like."""
ISO = frozenset({"iso", "gpt"})
"""A bootable CD image often has a partition table too."""

MAX_VIRTUAL_BYTES = 1 << 50
"""A header may state any number; nothing that the cloud makes is larger than this, 1 PiB."""


class ImageRefused(UnsupportedMedia):
    """The data is not what its image says it is, or would be dangerous to open."""

    code = "image.refused"


class _Pipe:
    """The file-like source that the inspector reads from: one chunk at a time, as it arrives."""

    chunk: bytes = b""

    def read(self, size: int = -1) -> bytes:
        return self.chunk


class Inspector:
    """Watches one upload. Blocking and CPU-bound, though cheap: call it from a thread."""

    def __init__(self, disk_format: str, container_format: str) -> None:
        self.disk_format = disk_format
        self.container_format = container_format
        self.size = 0
        self._head = b""
        self._pipe = _Pipe()
        self._wrapper = _wrapper(self._pipe)

    def eat(self, chunk: bytes) -> None:
        """Look at the next piece. Raises ImageRefused as soon as the data is known to be something else."""
        self.size += len(chunk)
        if len(self._head) < SECTOR:
            self._head += chunk[: SECTOR - len(self._head)]
        self._pipe.chunk = chunk
        self._wrapper.read(len(chunk))
        found = self._wrapper.formats
        if found is not None:
            self._match({str(one) for one in found})

    def finish(self) -> int:
        """The size of the disk that a guest will see, in bytes. Raises ImageRefused."""
        if self.size < SECTOR:
            # A reader of disks sees whole sectors: a header without the rest of its sector is a header all the same.
            self._pipe.chunk = bytes(SECTOR - self.size)
            self._wrapper.read(SECTOR)
        self._wrapper.close()
        found = self._wrapper.formats or []
        guess = guessed(self._head)
        self._match({str(one) for one in found} | ({guess} if guess is not None else set()))
        if self.container_format in NESTED or self.disk_format not in STRUCTURED:
            return self.size
        size = self._examined(found[0])
        if not 0 < size <= MAX_VIRTUAL_BYTES:
            raise ImageRefused(f"The {self.disk_format} image says that its disk has {size} bytes, which no disk has.")
        return size

    def _examined(self, inspector: FileInspector) -> int:
        """The size that the header states, once the header was found harmless."""
        from oslo_utils.imageutils.format_inspector import SafetyCheckFailed

        try:
            inspector.safety_check()
            return int(inspector.virtual_size)
        except SafetyCheckFailed as error:
            reasons = "; ".join(str(failure) for failure in error.failures.values())
            raise ImageRefused(f"The {self.disk_format} image is not safe to use: {reasons}.") from None
        except Exception as error:  # a parser of hostile bytes may stumble in any way
            log.warning("image_header_unreadable", disk_format=self.disk_format, error=repr(error))
            raise ImageRefused(f"The header of the {self.disk_format} image cannot be read.") from None

    def _match(self, found: set[str]) -> None:
        if self.container_format in NESTED:
            allowed = found <= PLAIN
        elif self.disk_format in STRUCTURED:
            allowed = found == {self.disk_format}
        elif self.disk_format == "iso":
            allowed = "iso" in found and found <= ISO
        else:
            allowed = found <= PLAIN
        if not allowed:
            seen = " and ".join(sorted(found - PLAIN)) or "raw"
            raise ImageRefused(f"The image says that its disk_format is {self.disk_format}, and the data is {seen}.")


def _wrapper(pipe: _Pipe) -> InspectWrapper:
    # Imported late: a gateway that never receives an image does without its 8 MB. Its log lines repeat what we raise.
    from oslo_utils.imageutils.format_inspector import InspectWrapper

    logging.getLogger("oslo_utils.imageutils").setLevel(logging.CRITICAL)
    return InspectWrapper(pipe)  # type: ignore[arg-type]  # it only ever calls read()

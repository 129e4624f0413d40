"""Whether an image is what it claims to be, and refers to nothing outside itself.

A disk image may name other files of the host as its backing file or its data, and whoever opens it reads them for the
guest. So the header is read here, byte by byte, before any tool opens the file; the tool is told the format and is only
a second opinion.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

from skybus.errors import CommandRefused
from skybus_compute.limited import ProgramFailed, run_limited

HEAD_BYTES = 4096
_QCOW2_MAGIC = b"QFI\xfb"
_QCOW2_HEADER = struct.Struct(">4sIQIIQI")  # magic, version, backing offset and size, cluster bits, size, encryption
_INCOMPATIBLE_AT = 72
_EXTERNAL_DATA = 1 << 2
_KNOWN_INCOMPATIBLE = 0b11111  # dirty, corrupt, external data, compression type, extended L2

# What marks a file as another format than raw, and where. A tool that guessed would believe it.
_SIGNATURES = (
    (0, _QCOW2_MAGIC, "qcow"),
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"conectix", "vpc"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"LUKS\xba\xbe", "luks"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0, b"Bochs Virtual HD Image", "bochs"),
    (0, b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop", "cloop"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
)


def refused(reason: str) -> CommandRefused:
    """The final no to an image."""
    return CommandRefused(f"the image is refused: {reason}", code="compute.image-refused")


def virtual_size(path: Path, disk_format: str) -> int:
    """Bytes of the disk in the image at `path`. Raises CommandRefused for what `disk_format` does not describe.

    Blocks for one short read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        length = file.seek(0, 2)
        file.seek(max(0, length - 512))
        tail = file.read(512)
    if disk_format == "qcow2":
        return _qcow2_size(head)
    if disk_format != "raw":
        raise refused(f"{disk_format} is not a format that hosts boot")
    for offset, magic, name in _SIGNATURES:
        if head[offset : offset + len(magic)] == magic:
            raise refused(f"it is declared raw and looks like {name}")
    if tail.startswith((b"conectix", b"koly")):
        raise refused("it is declared raw and looks like vpc or dmg")
    if not length:
        raise refused("it is empty")
    return length


def _qcow2_size(head: bytes) -> int:
    if len(head) < _INCOMPATIBLE_AT or not head.startswith(_QCOW2_MAGIC):
        raise refused("it is declared qcow2 and is not")
    _, version, backing_offset, backing_bytes, _, size, encryption = _QCOW2_HEADER.unpack_from(head)
    if version not in (2, 3):
        raise refused(f"qcow2 version {version} is not known")
    if backing_offset or backing_bytes:
        raise refused("it has a backing file")
    if encryption:
        raise refused("it is encrypted")
    if version == 3:
        if len(head) < _INCOMPATIBLE_AT + 8:
            raise refused("its header is cut off")
        (incompatible,) = struct.unpack_from(">Q", head, _INCOMPATIBLE_AT)
        if incompatible & _EXTERNAL_DATA:
            raise refused("its data is in another file")
        if incompatible & ~_KNOWN_INCOMPATIBLE:
            raise refused("it uses features that are not known")
    if not size:
        raise refused("its disk has no size")
    return int(size)


async def check_image(path: Path, disk_format: str) -> None:
    """Pass an image that may be booted from. Raises CommandRefused, or CommandTroubled past the deadline."""
    virtual_size(path, disk_format)
    try:
        said = await run_limited(
            ["qemu-img", "info", "-f", disk_format, "--output=json", str(path)], what="inspect the image", seconds=30
        )
        info = json.loads(said)
    except (ProgramFailed, ValueError):
        raise refused(f"it cannot be read as {disk_format}") from None
    if info.get("format") != disk_format or "backing-filename" in info or info.get("encrypted"):
        raise refused("its header contradicts its format")
    if (info.get("format-specific") or {}).get("data", {}).get("data-file"):
        raise refused("its data is in another file")

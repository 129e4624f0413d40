"""What a tool that guesses a disk's format would take data for, by its first sector.

A second opinion beside the inspector's, which takes damaged headers for no headers at all; a tool that guesses, or one
with other ideas of what is damaged, may not.
"""

from __future__ import annotations

SECTOR = 512
STARTS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk Descriptor", "vmdk"),
    (0, b"conectix", "vhd"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"LUKS\xba\xbe", "luks"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0, b"Bochs Virtual HD Image", "bochs"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
)
"""(offset, bytes, format)."""


def guessed(head: bytes) -> str | None:
    """The format that the first sector announces, or None."""
    for offset, magic, name in STARTS:
        if head[offset : offset + len(magic)].lower() == magic.lower():
            return name
    return "vmdk" if _is_descriptor(head) else None


def _is_descriptor(head: bytes) -> bool:
    """Whether the first line that is neither empty nor a comment states a VMDK descriptor's version."""
    for line in head[:SECTOR].split(b"\n"):
        text = line.strip(b" \r")
        if text and not text.startswith(b"#"):
            return text.lower() in (b"version=1", b"version=2", b"version=3")
    return False

"""Disk images for tests, made byte by byte: honest ones, and the evil ones of the field's advisories."""

from __future__ import annotations

import struct

MIB = 1 << 20


def qcow2(virtual_size: int = 16 * MIB, *, backing: str = "", features: int = 0, version: int = 3) -> bytes:
    """The header cluster of a qcow2 image, and an empty second one."""
    name = backing.encode()
    offset = 0x200 if name else 0
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", version, offset, len(name), 16, virtual_size)
    head += struct.pack(">IIQQIIQ", 0, 1, 0x30000, 0x10000, 1, 0, 0)
    if version == 3:
        head += struct.pack(">QQQII", features, 0, 0, 4, 104)
    return (head.ljust(0x200, b"\0") + name).ljust(2 * 65536, b"\0")


def qcow2_with_data_file() -> bytes:
    """Its contents are in another file of whoever opens it."""
    return qcow2(features=1 << 2)


def vmdk_descriptor(extent: str, kind: str = "monolithicFlat") -> bytes:
    """A text VMDK whose extent is a file of whoever opens it."""
    text = f'# Disk DescriptorFile\nversion=1\nCID=deadbeef\nparentCID=ffffffff\ncreateType="{kind}"\n\n'
    return (text + f"RW 2048 {extent}\n").encode().ljust(4096, b"\0")


def vdi() -> bytes:
    """A VirtualBox disk of 8 MiB."""
    head = b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(0x40, b"\0") + struct.pack("<I", 0xBEDA107F)
    return (head.ljust(0x170, b"\0") + struct.pack("<Q", 8 * MIB)).ljust(1024, b"\0")


def iso() -> bytes:
    """The descriptors of a CD image."""
    volume = b"\x01CD001\x01".ljust(80, b"\0") + struct.pack("<I", 200) + struct.pack(">I", 200)
    volume = volume.ljust(128, b"\0") + struct.pack("<H", 2048) + struct.pack(">H", 2048)
    return bytes(32768) + volume.ljust(2048, b"\0") + (b"\xffCD001\x01").ljust(2048, b"\0")


def partitioned() -> bytes:
    """A raw disk with a boot sector."""
    entry = struct.pack("<B3BB3BII", 0x80, 1, 1, 0, 0x83, 0xFE, 0xFF, 0xFF, 2048, 4096)
    return (bytes(446) + entry + bytes(48) + b"\x55\xaa").ljust(MIB, b"\0")


def raw(size: int = 3 * MIB + 17) -> bytes:
    """Bytes that look like nothing, the same each time, of uneven length."""
    pattern = bytes(range(7, 250)) * 33
    return (pattern * (size // len(pattern) + 1))[:size]


def every_evil_image() -> dict[str, tuple[str, bytes]]:
    """(declared disk_format, data) by name; each must be refused."""
    return {
        "raw-that-is-qcow2": ("raw", qcow2()),
        "raw-that-is-a-short-qcow2-header": ("raw", qcow2(backing="/etc/passwd")[:100]),
        "raw-that-is-vmdk": ("raw", vmdk_descriptor('FLAT "/etc/passwd" 0')),
        "raw-that-is-a-descriptor-behind-comments": ("raw", b"# x\n\n  \nVersion=1\nRW 1 FLAT "),
        "raw-that-is-vdi": ("raw", vdi()),
        "raw-that-is-iso": ("raw", iso()),
        "kernel-that-is-qcow2": ("aki", qcow2()),
        "qcow2-that-is-raw": ("qcow2", raw()),
        "qcow2-that-is-empty": ("qcow2", b""),
        "qcow2-that-is-vdi": ("qcow2", vdi()),
        "qcow2-with-backing-file": ("qcow2", qcow2(backing="/etc/passwd")),
        "qcow2-v2-with-backing-file": ("qcow2", qcow2(backing="nbd://10.0.0.1:1", version=2)),
        "qcow2-with-data-file": ("qcow2", qcow2_with_data_file()),
        "qcow2-with-unknown-features": ("qcow2", qcow2(features=1 << 40)),
        "qcow2-of-version-1": ("qcow2", qcow2(version=1)),
        "qcow2-of-endless-size": ("qcow2", qcow2((1 << 64) - 512)),
        "qcow2-of-no-size": ("qcow2", qcow2(0)),
        "vmdk-with-flat-extent": ("vmdk", vmdk_descriptor('FLAT "/etc/shadow" 0')),
        "vmdk-with-device-extent": ("vmdk", vmdk_descriptor('FLAT "/dev/sda" 0', "fullDevice")),
        "vmdk-sparse-with-path": ("vmdk", vmdk_descriptor('SPARSE "/etc/shadow"', "monolithicSparse")),
        "iso-that-is-qcow2": ("iso", qcow2()),
    }

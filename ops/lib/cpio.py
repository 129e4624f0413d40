"""Write an initramfs (a cpio archive in the `newc` form) without cpio and without being root."""

from __future__ import annotations

import stat


class Initramfs:
    """Entries in the order in which they are added; a folder has to come before what is in it."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.count = 0

    def folder(self, name: str) -> None:
        """An empty folder."""
        self.entry(name, stat.S_IFDIR | 0o755)

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """A plain file."""
        self.entry(name, stat.S_IFREG | mode, content)

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        self.entry(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name: str, major: int, minor: int) -> None:
        """A character device."""
        self.entry(name, stat.S_IFCHR | 0o600, b"", (major, minor))

    def entry(self, name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        """One entry: thirteen hexadecimal numbers, the name, the content, each padded to four bytes."""
        self.count += 1
        raw = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        numbers = (self.count, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(raw), 0)
        self.out += b"070701" + b"".join(b"%08X" % number for number in numbers) + raw
        self.pad()
        self.out += content
        self.pad()

    def pad(self) -> None:
        """Up to the next multiple of four."""
        self.out += b"\0" * (-len(self.out) % 4)

    def done(self) -> bytes:
        """The whole archive."""
        self.entry("TRAILER!!!", 0)
        return bytes(self.out)

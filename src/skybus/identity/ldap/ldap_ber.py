"""The part of ASN.1's Basic Encoding Rules that LDAP is made of (RFC 4511, section 5.1).

What is read comes from a directory that somebody configured, and is still bounded and checked: nothing here trusts a
length that it has not got.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

BOOLEAN, INTEGER, OCTETS, ENUMERATED, SEQUENCE, SET = 0x01, 0x02, 0x04, 0x0A, 0x30, 0x31
LONGEST = 1 << 20
"""Bytes of one message. A group with ten thousand members fits."""


class BerError(Exception):
    """These bytes are not what a directory may send."""


def tlv(tag: int, content: bytes) -> bytes:
    """One value: its tag, its length, its content."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """A number that is not negative."""
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def enumerated(value: int) -> bytes:
    """One of a list of choices."""
    return integer(value, ENUMERATED)


def octets(value: str | bytes, tag: int = OCTETS) -> bytes:
    """Text in UTF-8, or bytes."""
    return tlv(tag, value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass"))


def boolean(value: bool) -> bytes:
    """Yes or no."""
    return tlv(BOOLEAN, b"\xff" if value else b"\x00")


def sequence(*parts: bytes, tag: int = SEQUENCE) -> bytes:
    """Values one after another."""
    return tlv(tag, b"".join(parts))


def texts(values: Iterable[str]) -> bytes:
    """A sequence of texts."""
    return sequence(*(octets(value) for value in values))


def header(data: bytes) -> tuple[int, int, int] | None:
    """(tag, bytes of the header, bytes of the content) of the value that begins here; None while too little is there.

    Raises BerError for what no directory sends.
    """
    if len(data) < 2:
        return None
    tag, first = data[0], data[1]
    if tag & 0x1F == 0x1F:
        raise BerError("a tag of several bytes")
    if first < 0x80:
        return tag, 2, first
    count = first & 0x7F
    if not 1 <= count <= 4:
        raise BerError("a length that is not definite, or has too many bytes")
    if len(data) < 2 + count:
        return None
    size = int.from_bytes(data[2 : 2 + count], "big")
    if size > LONGEST:
        raise BerError(f"a value of {size} bytes")
    return tag, 2 + count, size


def values(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, content) of each value in `data`. Raises BerError."""
    place = 0
    while place < len(data):
        found = header(data[place : place + 6])
        if found is None:
            raise BerError("it ends within a header")
        tag, before, size = found
        end = place + before + size
        if end > len(data):
            raise BerError("it ends within a value")
        yield tag, data[place + before : end]
        place = end


def number(content: bytes) -> int:
    """The content of an integer or an enumerated."""
    if not 1 <= len(content) <= 8:
        raise BerError(f"a number of {len(content)} bytes")
    return int.from_bytes(content, "big", signed=True)

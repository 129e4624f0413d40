"""The list of a namespace's interfaces, read from the kernel directly.

A host asks for it at every order and every look, and decoding all that the kernel says of an interface costs a hundred
times what the few facts in `Link` do.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

CARRIER = 1 << 16
"""IFF_LOWER_UP: for a tap, a program holds it open."""
UP = 1

RTM_NEWLINK, RTM_GETLINK = 16, 18
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP, NLM_F_DUMP_INTR = 0x1, 0x300, 0x10
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_IFALIAS = 1, 3, 4, 10, 18, 20
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
IFLA_VXLAN_ID, IFLA_VXLAN_LOCAL, IFLA_VXLAN_PORT = 1, 4, 15
TYPE_BITS = 0x3FFF

HEADER = struct.Struct("=IHHII")
INTERFACE = struct.Struct("=BxHiII")
ATTRIBUTE = struct.Struct("=HH")
RECEIVE_BYTES = 1 << 17


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What a VXLAN device was made with."""

    vni: int
    port: int
    local: str


@dataclass(frozen=True, slots=True)
class Link:
    """One interface as the kernel shows it."""

    index: int
    name: str
    kind: str | None
    alias: str | None
    master: int | None
    mtu: int
    mac: str
    up: bool
    carrier: bool
    tunnel: Tunnel | None = None


def link_list(netlink: socket.socket) -> list[Link]:
    """Every interface of the namespace that the socket belongs to. Blocks; raises OSError, TimeoutError included."""
    while True:
        links = _ask(netlink)
        if links is not None:
            return links


def _ask(netlink: socket.socket) -> list[Link] | None:
    """The list, or None when something changed while the kernel made it."""
    number = int.from_bytes(os.urandom(4), "little")
    body = INTERFACE.pack(0, 0, 0, 0, 0)
    head = HEADER.pack(HEADER.size + len(body), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, number, 0)
    netlink.send(head + body)
    links: list[Link] = []
    interrupted = False
    while True:
        for kind, flags, sequence, content in _messages(netlink.recv(RECEIVE_BYTES)):
            if sequence != number:
                continue  # an answer that an earlier caller did not wait for
            interrupted |= bool(flags & NLM_F_DUMP_INTR)
            if kind == NLMSG_DONE:
                return None if interrupted else links
            if kind == NLMSG_ERROR:
                code = -struct.unpack_from("=i", content)[0]
                raise OSError(code, os.strerror(code))
            if kind == RTM_NEWLINK:
                links.append(_link(content))


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, sequence number and content of each netlink message in `data`."""
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, at)
        yield kind, flags, sequence, data[at + HEADER.size : at + length]
        at += max(_aligned(length), HEADER.size)


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    at = 0
    while at + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, at)
        found[kind & TYPE_BITS] = data[at + ATTRIBUTE.size : at + length]
        at += max(_aligned(length), ATTRIBUTE.size)
    return found


def _link(content: bytes) -> Link:
    _, _, index, flags, _ = INTERFACE.unpack_from(content)
    facts = _attributes(content[INTERFACE.size :])
    info = _attributes(facts.get(IFLA_LINKINFO, b""))
    kind = _text(info.get(IFLA_INFO_KIND))
    return Link(
        index=index,
        name=_text(facts.get(IFLA_IFNAME)) or "",
        kind=kind,
        alias=_text(facts.get(IFLA_IFALIAS)),
        master=_number(facts[IFLA_MASTER]) if IFLA_MASTER in facts else None,
        mtu=_number(facts.get(IFLA_MTU, b"")),
        mac=facts.get(IFLA_ADDRESS, b"").hex(":"),
        up=bool(flags & UP),
        carrier=bool(flags & CARRIER),
        tunnel=_tunnel(_attributes(info.get(IFLA_INFO_DATA, b""))) if kind == "vxlan" else None,
    )


def _tunnel(facts: dict[int, bytes]) -> Tunnel:
    local = facts.get(IFLA_VXLAN_LOCAL, b"")
    return Tunnel(
        vni=_number(facts.get(IFLA_VXLAN_ID, b"")),
        port=int.from_bytes(facts.get(IFLA_VXLAN_PORT, b""), "big"),
        local=socket.inet_ntoa(local) if len(local) == 4 else "",
    )


def _number(data: bytes) -> int:
    return int.from_bytes(data[:4], "little" if struct.pack("=H", 1)[0] else "big")


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.split(b"\0", 1)[0].decode(errors="replace")


def _aligned(length: int) -> int:
    return (length + 3) & ~3

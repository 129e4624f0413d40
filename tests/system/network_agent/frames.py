"""Ethernet frames by hand: what a guest sends when it means no good."""

from __future__ import annotations

import ipaddress
import socket
import struct

EVERYONE = "ff:ff:ff:ff:ff:ff"


def mac_bytes(mac: str) -> bytes:
    """Six bytes."""
    return bytes.fromhex(mac.replace(":", ""))


def ethernet(source: str, destination: str, kind: int, payload: bytes) -> bytes:
    """One frame."""
    return mac_bytes(destination) + mac_bytes(source) + struct.pack("!H", kind) + payload


def checksum(data: bytes) -> int:
    """The Internet checksum."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def arp(source: str, sender_mac: str, sender_ip: str, target_ip: str) -> bytes:
    """A request to everyone: who has `target_ip`?"""
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    body = mac_bytes(sender_mac) + socket.inet_aton(sender_ip) + bytes(6) + socket.inet_aton(target_ip)
    return ethernet(source, EVERYONE, 0x0806, head + body)


def ipv4(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """One packet."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0)
    head += socket.inet_aton(source) + socket.inet_aton(destination)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(source: tuple[str, int], destination: tuple[str, int], payload: bytes) -> bytes:
    """One datagram in its packet, without a checksum, as IPv4 allows."""
    head = struct.pack("!HHHH", source[1], destination[1], 8 + len(payload), 0)
    return ipv4(source[0], destination[0], 17, head + payload)


def ipv6(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """One packet."""
    addresses = ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address(destination).packed
    return struct.pack("!IHBB", 0x6000_0000, len(payload), protocol, 255) + addresses + payload


def icmpv6(source: str, destination: str, kind: int, body: bytes) -> bytes:
    """One ICMPv6 message in its packet."""
    addresses = ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address(destination).packed
    message = struct.pack("!BBH", kind, 0, 0) + body
    total = checksum(addresses + struct.pack("!II", len(message), 58) + message)
    return ipv6(source, destination, 58, message[:2] + struct.pack("!H", total) + message[4:])


def neighbour_advertisement(source: str, target: str, mark: bytes) -> bytes:
    """A claim to have `target`, with `mark` as an option that nobody knows."""
    option = struct.pack("!BB", 253, 2) + mark[:14].ljust(14, b"\0")
    body = struct.pack("!I", 0x2000_0000) + ipaddress.IPv6Address(target).packed + option
    return icmpv6(source, "ff02::1", 136, body)


def dhcp(mac: str, kind: int, *, requested: str | None = None, server: str | None = None) -> bytes:
    """A DISCOVER (1) or REQUEST (3) to everyone."""
    fixed = struct.pack("!BBBBIHH", 1, 1, 6, 0, 0x5B5B5B5B, 0, 0x8000) + bytes(16) + mac_bytes(mac).ljust(16, b"\0")
    options = b"\x63\x82\x53\x63" + bytes([53, 1, kind]) + bytes([55, 7, 1, 3, 6, 26, 121, 12, 51])
    if requested is not None:
        options += bytes([50, 4]) + socket.inet_aton(requested)
    if server is not None:
        options += bytes([54, 4]) + socket.inet_aton(server)
    message = (fixed + bytes(192) + options + b"\xff").ljust(300, b"\0")
    packet = udp(("0.0.0.0", 68), ("255.255.255.255", 67), message)
    return ethernet(mac, EVERYONE, 0x0800, packet)


def dhcp_answer(mac: str, frame: bytes) -> tuple[str, dict[int, bytes]] | None:
    """The address given and the options of a DHCP answer to the card `mac`, or None when it is none. Its UDP checksum
    must be right."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 17 or frame[34:38] != b"\x00\x43\x00\x44":
        return None
    length = struct.unpack("!H", frame[38:40])[0]
    datagram = frame[34 : 34 + length]
    pseudo = frame[26:34] + struct.pack("!BBH", 0, 17, length)
    assert checksum(pseudo + datagram) == 0, "the answer's UDP checksum is wrong"
    message = datagram[8:]
    options: dict[int, bytes] = {}
    if message[28:34] != mac_bytes(mac):
        return None
    at = 240
    while at < len(message) and message[at] != 255:
        if message[at] == 0:
            at += 1
            continue
        kind, size = message[at], message[at + 1]
        options[kind] = options.get(kind, b"") + message[at + 2 : at + 2 + size]
        at += 2 + size
    return socket.inet_ntoa(message[16:20]), options


def classless_routes(option: bytes) -> dict[str, str]:
    """Next hop by destination."""
    routes = {}
    while option:
        length = option[0]
        size = (length + 7) // 8
        destination = socket.inet_ntoa(option[1 : 1 + size].ljust(4, b"\0"))
        routes[f"{destination}/{length}"] = socket.inet_ntoa(option[1 + size : 5 + size])
        option = option[5 + size :]
    return routes

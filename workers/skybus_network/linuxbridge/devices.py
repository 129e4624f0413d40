"""What netlink cannot do to an interface: make a tap, switch checksum offload off, keep IPv6 from it.

All functions block for a moment, act on the namespace of the calling thread, and raise OSError.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

TUNSETIFF = 0x4004_54CA
TUNSETPERSIST = 0x4004_54CB
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM = 0x0000_0017


def tap_make(name: str) -> None:
    """Make a tap that stays when nobody has it open, with one queue. Content to find it and that nobody uses it."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        # QEMU asks for the header when it opens the tap; without one checksums and segments are lost on the way.
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
        fcntl.ioctl(fd, TUNSETPERSIST, 1)
    finally:
        os.close(fd)


def checksum_offload_off(name: str) -> None:
    """Make the interface send whole checksums: DHCP clients read raw frames and throw away half-made ones."""
    order = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP16x", name.encode(), ctypes.addressof(order))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket.fileno(), SIOCETHTOOL, request)


def ipv6_off(name: str) -> None:
    """Keep the host from having, and from speaking from, an IPv6 address on the interface. `all` and `default` too."""
    path = Path("/proc/sys/net/ipv6/conf") / name / "disable_ipv6"
    if path.exists():  # not with ipv6.disable=1
        path.write_text("1")


def forwarding_off() -> None:
    """Keep the namespace from being a router: it inherits the machine's setting."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")

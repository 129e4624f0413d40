"""Hosts and guests in network namespaces, for tests of the real data plane.

An underlay is a namespace with a bridge; a host is a namespace with a cable to it; a guest is a namespace whose card is
a tap that a thread connects with the tap of its port, as QEMU would.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from skybus.config import Bus, Config, Host, Network
from skybus.messages.network import PlugPort
from skybus_network.agent import NetworkAgent
from skybus_network.linuxbridge.devices import IFF_NO_PI, IFF_TAP, TUNSETIFF
from skybus_network.linuxbridge.namespaces import inside_now

T = TypeVar("T")

Starter = Callable[[Config], Awaitable[NetworkAgent]]
"""Starts the agent of a host and closes it when the test ends."""

BOUND_SECONDS = 10.0
"""How long a test waits for what must happen."""
SILENCE_SECONDS = 1.0
"""How long a test listens for what must not happen, after the same way was seen to be open."""
VXLAN_PORT = 24_789


def ip(*argv: str) -> str:
    """Runs `ip` and returns what it prints."""
    return subprocess.run(["ip", *argv], check=True, capture_output=True, text=True, timeout=20).stdout


def until(condition: Callable[[], T], seconds: float = BOUND_SECONDS) -> T:
    """The first true value of `condition`. Fails after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.02)
    return value


class Lab:
    """An underlay and hosts on it; `close` removes all of them."""

    def __init__(self, folder: Path) -> None:
        self.tag = secrets.token_hex(3)
        self.prefix = "n" + self.tag[:4]
        self.folder = folder
        self.underlay = f"skytest-{self.tag}-und"
        self.hosts: list[str] = []
        self.guests: list[Guest] = []
        self.namespaces = [self.underlay]
        ip("netns", "add", self.underlay)
        ip("-n", self.underlay, "link", "add", "br0", "type", "bridge")
        ip("-n", self.underlay, "link", "set", "br0", "up")

    def host(self) -> Config:
        """A new host's configuration; its namespace is on the underlay."""
        number = len(self.hosts) + 1
        name, namespace = f"h{number}", f"skytest-{self.tag}-h{number}"
        ip("netns", "add", namespace)
        self.namespaces.append(namespace)
        self.hosts.append(namespace)
        ip("link", "add", f"u{number}", "netns", self.underlay, "type", "veth", "peer", "und", "netns", namespace)
        ip("-n", self.underlay, "link", "set", f"u{number}", "master", "br0", "up")
        ip("-n", namespace, "link", "set", "lo", "up")
        ip("-n", namespace, "addr", "add", f"172.31.0.{number}/24", "dev", "und")
        ip("-n", namespace, "link", "set", "und", "up")
        host = Host(
            name=name,
            address=f"172.31.0.{number}",
            namespace=namespace,
            state_dir=self.folder / name,
            report_seconds=0.2,
        )
        return Config(bus=Bus(), host=host, network=Network(prefix=self.prefix, vxlan_port=VXLAN_PORT))

    def guest(self, config: Config, order: PlugPort) -> Guest:
        """A guest on a plugged port, with its address set by hand."""
        guest = Guest(config, order, f"skytest-{self.tag}-g{len(self.guests) + 1}")
        self.namespaces.append(guest.namespace)
        self.guests.append(guest)
        return guest

    def close(self) -> None:
        """Remove everything, also what a failed test left."""
        for guest in self.guests:
            guest.close()
        names = [name for name in os.listdir("/run/netns") if name.startswith(f"{self.prefix}dhcp-")]
        for name in names:
            for pid in ip("netns", "pids", name).split():
                if Path(f"/proc/{pid}/comm").read_text().strip() == "dnsmasq":
                    os.kill(int(pid), 15)
        for name in [*names, *self.namespaces]:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True, timeout=20)


def open_tap(namespace: str, name: str) -> int:
    """Hold the tap open as QEMU does, without headers; a descriptor that does not block."""

    def work() -> int:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
        except OSError:
            os.close(fd)
            raise
        return fd

    return inside_now(namespace, work)


class Wire:
    """The far end of a port's tap: whole Ethernet frames."""

    def __init__(self, config: Config, tap: str) -> None:
        self._fd = open_tap(config.host.namespace or "", tap)

    def send(self, frame: bytes) -> None:
        """Let the guest send `frame`."""
        os.write(self._fd, frame.ljust(60, b"\0"))

    def find(self, wanted: Callable[[bytes], bool], seconds: float = BOUND_SECONDS) -> bytes | None:
        """The first frame to the guest that is `wanted`, or None after `seconds`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self._fd], [], [], left)[0]:
                return None
            frame = os.read(self._fd, 65_536)
            if wanted(frame):
                return frame
        return None

    def hears(self, payload: bytes, seconds: float = BOUND_SECONDS) -> bool:
        """Whether a frame with `payload` in it arrives within `seconds`."""
        return self.find(lambda frame: payload in frame, seconds) is not None

    def send_until(self, frame: bytes, heard: Callable[[float], object]) -> bool:
        """Send `frame` until it is `heard` (called with seconds to wait); whether it ever was. A bridge takes a moment
        to see that a tap was plugged in, and drops what comes before."""
        for _ in range(round(BOUND_SECONDS / 0.5)):
            self.send(frame)
            if heard(0.5):
                return True
        return False

    def close(self) -> None:
        """Pull the plug."""
        os.close(self._fd)


class Guest:
    """A namespace with a card `eth0` behind a port."""

    def __init__(self, config: Config, order: PlugPort, namespace: str) -> None:
        self.namespace = namespace
        self.address = order.binding.fixed_ips[0][1]
        ip("netns", "add", namespace)
        self._port = open_tap(config.host.namespace or "", order.binding.tap)
        self._card = open_tap(namespace, "eth0")
        self._wake, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()
        ip("-n", namespace, "link", "set", "eth0", "address", order.binding.mac, "mtu", str(order.segment.mtu))
        ip("-n", namespace, "addr", "add", f"{self.address}/24", "dev", "eth0")
        ip("-n", namespace, "link", "set", "eth0", "up")
        for subnet in order.segment.subnets[:1]:
            ip("-n", namespace, "route", "add", "169.254.169.254/32", "via", subnet.dhcp_ip or "", "dev", "eth0")

    def _pump(self) -> None:
        ways = {self._port: self._card, self._card: self._port}
        while True:
            for ready in select.select([*ways, self._wake], [], [])[0]:
                if ready == self._wake:
                    return
                try:
                    os.write(ways[ready], os.read(ready, 65_536))
                except OSError:
                    if ready == self._port and not self._alive():
                        return

    def _alive(self) -> bool:
        try:
            os.read(self._port, 65_536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def pings(self, address: str, tries: int = 3) -> bool:
        """Whether one of so many pings is answered, each within a second."""
        argv = ["ip", "netns", "exec", self.namespace, "ping", "-c1", "-W1", address]
        return any(
            subprocess.run(argv, check=False, capture_output=True, timeout=20).returncode == 0 for _ in range(tries)
        )

    def get(self, path: str, headers: str = "") -> tuple[int, bytes]:
        """Status and body that the metadata service answers with."""

        def work() -> bytes:
            with socket.create_connection(("169.254.169.254", 80), timeout=BOUND_SECONDS) as connection:
                text = f"GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: close\r\n{headers}\r\n"
                connection.sendall(text.encode())
                return b"".join(iter(lambda: connection.recv(65_536), b""))

        head, _, body = inside_now(self.namespace, work).partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def close(self) -> None:
        """Pull the plug; the lab removes the namespace. May be called twice."""
        if self._thread.is_alive():
            os.write(self._stop, b".")
            self._thread.join(BOUND_SECONDS)
        while descriptors := [fd for fd in (self._port, self._card, self._wake, self._stop) if fd >= 0]:
            for fd in descriptors:
                os.close(fd)
            self._port = self._card = self._wake = self._stop = -1

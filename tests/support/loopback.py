"""Loopback ports for programs that a test starts."""

from __future__ import annotations

import random
import socket

PORTS = range(12_000, 32_000)
"""Below those that the kernel gives to outgoing connections: nobody takes one by accident."""


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port

"""Choose free TCP ports on loopback once and remember them."""

from __future__ import annotations

import contextlib
import json
import random
import socket
from collections.abc import Iterable

from .state import State, read_json, write_private
from .trouble import Trouble

LOWEST, HIGHEST = 20_000, 32_000
"""Below the range from which Linux draws ports of outgoing connections, so that a chosen port stays free."""


def choose(state: State, names: Iterable[str], wanted: dict[str, int] | None = None) -> dict[str, int]:
    """A port for each of `names`; remembered ones stay. `wanted` fixes some; Trouble when taken."""
    path = state.root / "ports.json"
    known: dict[str, int] = read_json(path)
    for name, port in (wanted or {}).items():
        if known.get(name) != port:
            if not free(port):
                raise Trouble(f"port {port} for {name} is taken", "choose another one, or stop what listens there")
            known[name] = port
    for name in names:
        if name not in known:
            known[name] = draw(set(known.values()))
    write_private(path, json.dumps(known, indent=1))
    return known


def draw(taken: set[int]) -> int:
    """A free port that is not in `taken`."""
    dice = random.SystemRandom()
    for _ in range(500):
        port = dice.randint(LOWEST, HIGHEST)
        if port not in taken and free(port):
            return port
    raise Trouble(f"no free port between {LOWEST} and {HIGHEST} on 127.0.0.1", "stop something that listens there")


def free(port: int) -> bool:
    """Whether we could listen on `port` of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def listening(port: int, timeout: float = 0.5) -> bool:
    """Whether something accepts connections on `port` of 127.0.0.1."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=timeout):
        return True
    return False


def need_free(port: int, name: str) -> None:
    """Raise Trouble when a remembered port was taken by somebody else while the cloud was down."""
    if not free(port):
        raise Trouble(
            f"port {port}, which {name} uses, is taken by another program",
            f"stop that program (`ss -ltnp 'sport = :{port}'` shows it), or remove its line from ports.json",
        )

"""Keeps the kernel's guard rules the same as the picture."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from skybus_network.linuxbridge.guard import guard_text
from skybus_network.linuxbridge.names import Names
from skybus_network.linuxbridge.namespaces import run
from skybus_network.picture import KnownNetwork


class Firewall:
    """The guard table of one host. Many who ask at the same time share one transaction."""

    def __init__(self, names: Names, namespace: str | None) -> None:
        self._names = names
        self._namespace = namespace
        self._lock = asyncio.Lock()
        self._asked = 0
        self._done = 0
        self._loaded: str | None = None
        self.quarantined: set[str] = set()
        """Taps that are in use and unknown: nothing may leave them."""

    async def refresh(self, networks: Mapping[str, KnownNetwork]) -> None:
        """Make the rules what `networks` says now. Raises `CommandTroubled`; the old rules hold then."""
        self._asked += 1
        mine = self._asked
        async with self._lock:
            if self._done >= mine:
                return
            upto = self._asked
            text = guard_text(self._names, networks, self.quarantined)
            if text != self._loaded:
                await self._load(text)
            self._done = upto

    async def _load(self, text: str) -> None:
        self._loaded = None
        await run(["nft", "-f", "-"], "load the rules against spoofing", namespace=self._namespace, stdin=text)
        self._loaded = text

    async def present(self) -> bool:
        """Whether the table is in the kernel; when it is not, the next refresh loads it."""
        tables = await run(["nft", "list", "tables", "bridge"], "list nft tables", namespace=self._namespace)
        if f"table bridge {self._names.guard_table}" in tables.splitlines():
            return True
        self._loaded = None
        return False

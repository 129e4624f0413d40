"""What is looked at during a soak, and how far each of it may rise."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
import asyncpg

from bench.site import NOT_OURS, Site
from bench.trends import Limit
from skybus.bus.amqp import AmqpTransport

QUEUES = ("skybus.answers", "skybus.reports", "skybus.dead", "skybus.command.scheduler", "skybus.metering")
HISTORY = (
    "bus.event",
    "compute.server",
    "saga.operation",
    "saga.acknowledgement",
    "metering.existence",
    "volume.volume",
)
"""Tables that keep what was: they grow with what is done, and are shown without being judged."""
TABLES = """
SELECT n.nspname || '.' || c.relname AS name, pg_total_relation_size(c.oid) AS bytes,
       coalesce(s.n_live_tup, 0) AS rows, coalesce(s.n_dead_tup, 0) AS dead
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
 WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
LIMITS = {
    "memory": Limit(amount=6.0, share=0.06),
    "memory-daemon": Limit(amount=60.0, share=0.25),
    "files": Limit(amount=8.0, share=0.1),
    "connections": Limit(amount=4.0),
    "queue": Limit(amount=30.0),
    "lag": Limit(amount=50.0),
    "rows": Limit(amount=100.0, share=0.25),
    "kib": Limit(amount=1536.0, share=0.25),
}
BUSY_KIB = 64
"""Tables that never grew beyond this are not shown."""


class Samples:
    """Series by name, all taken at the same `times`."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.times: list[float] = []
        self.series: dict[str, list[float]] = {}
        self._began = time.monotonic()
        self._conn: asyncpg.Connection[Any] | None = None
        self._transport = AmqpTransport(site.config.bus)
        self._http: aiohttp.ClientSession | None = None
        ports = site.state / "ports.json"
        self._ports: dict[str, int] = json.loads(ports.read_text()) if ports.exists() else {}

    async def open(self) -> None:
        """Connect."""
        self._conn = await asyncpg.connect(self.site.dsn, timeout=10)
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        await self._transport.open()

    async def close(self) -> None:
        """Disconnect."""
        if self._http is not None:
            await self._http.close()
        await self._transport.close()
        if self._conn is not None:
            await self._conn.close()

    async def run(self, every: float) -> None:
        """Take a sample every so many seconds until cancelled."""
        while True:
            await self.take()
            await asyncio.sleep(every - (time.monotonic() - self._began) % every)

    async def take(self) -> None:
        """One sample of everything. A series that was not there before begins with zeros."""
        found: dict[str, float] = {}
        for name, usage in self.site.usage().items():
            found[f"memory/{name} MiB"] = usage.own_mib
            found[f"files/{name}"] = usage.files
        found |= await self._database()
        for queue in QUEUES:
            found[f"queue/{queue}"] = await self._transport.depth(queue) or 0
        found |= await self._lags()
        self.times.append(time.monotonic() - self._began)
        for name in found.keys() | self.series.keys():
            values = self.series.setdefault(name, [0.0] * (len(self.times) - 1))
            values.append(found.get(name, 0.0))

    async def _database(self) -> dict[str, float]:
        assert self._conn is not None
        found: dict[str, float] = {"connections/postgres": await self._conn.fetchval(CONNECTIONS, timeout=10)}
        for row in await self._conn.fetch(TABLES, timeout=10):
            found[f"rows/{row['name']}"] = row["rows"]
            found[f"dead rows/{row['name']}"] = row["dead"]
            found[f"kib/{row['name']}"] = row["bytes"] / 1024
        return found

    async def _lags(self) -> dict[str, float]:
        """How long each process takes to answer a health check, which waits for its event loop alone."""
        assert self._http is not None
        found = {}
        for name, port in self._ports.items():
            if name in self.site.pids() and name not in NOT_OURS:
                at = time.monotonic()
                async with self._http.get(f"http://127.0.0.1:{port}/healthz"):
                    found[f"lag/{name} ms"] = (time.monotonic() - at) * 1000
        return found

    def shown(self) -> list[str]:
        """The names of the series worth looking at, in order."""
        return sorted(name for name in self.series if self._interesting(name))

    def _interesting(self, name: str) -> bool:
        kind, _, what = name.partition("/")
        if kind in ("rows", "dead rows", "kib"):
            return max(self.series.get(f"kib/{what}", [0.0])) > BUSY_KIB and (
                kind != "rows" or max(self.series[name]) > 0
            )
        return max(self.series[name]) > 0


def limit_of(name: str) -> Limit:
    """How far a series may rise."""
    kind, _, what = name.partition("/")
    if kind in ("rows", "kib", "dead rows") and what in HISTORY:
        return Limit(amount=0.0, must_be_flat=False)
    if kind == "dead rows":
        # They come with every change and go with the next vacuum: their table's size says whether that keeps up.
        return Limit(amount=0.0, must_be_flat=False)
    if kind == "memory":
        return LIMITS["memory-daemon" if what.startswith(NOT_OURS) else "memory"]
    return LIMITS[kind]

"""The reports of many hosts' agents, over real AMQP into a cloud's conductor and database: what does a report cost,
and does the conductor keep up?

Each host has three agents; each reports what the real one would, every --interval seconds, spread evenly over it. What
is measured after all hosts are known is the steady state. The hosts stay known, and nothing is behind them: only for a
cloud that is thrown away afterwards. `ops/bench --heartbeats` makes one and removes it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from bench.figures import Figures, write_json
from bench.site import Site, by_kind, machine
from skybus.bus.amqp import AmqpTransport
from skybus.bus.envelope import ANSWERS, REPORTS, Post, seal
from skybus.bus.heart import WHOLE_BEATS
from skybus.bus.message import AgentAlive, AgentKind, Report
from skybus.messages.compute import HypervisorReport
from skybus.messages.network import NetworkReport
from skybus.messages.volume import PoolReport

INBOX = "skybus.reports"
TICK_SECONDS = 0.1
DRAIN_SECONDS = 600.0
BACKLOG = 20_000
"""Reports that wait in the broker at which the cloud has evidently lost."""
AGES = """
SELECT count(*), coalesce(extract(epoch FROM now() - min(heard_at)), 0)::float8 AS oldest
  FROM compute.host WHERE name LIKE 'beat-%'
"""


def hypervisor(host: str, now: datetime, started: bool) -> Report:
    """What a compute agent with a current processor says."""
    return HypervisorReport(
        host=host,
        taken_at=now,
        started=started,
        hypervisor_type="QEMU",
        hypervisor_version=8_002_002,
        address=f"10.{int(host[5:]) >> 16 & 255}.{int(host[5:]) >> 8 & 255}.{int(host[5:]) & 255}",
        vcpus=64,
        memory_mib=262_144,
        disk_gib=4096,
        cpu_info={"model": "EPYC", "arch": "x86_64", "topology": {"sockets": 1, "cores": 32, "threads": 2}},
    )


def network(host: str, now: datetime, started: bool) -> Report:
    """What a network agent without ports says."""
    return NetworkReport(host=host, taken_at=now, started=started)


def pool(host: str, now: datetime, started: bool) -> Report:
    """What a volume agent with an empty pool says."""
    return PoolReport(host=host, taken_at=now, started=started, capacity_gib=4096, free_gib=4096)


KINDS: dict[AgentKind, Callable[[str, datetime, bool], Report]] = {
    "compute": hypervisor,
    "network": network,
    "volume": pool,
}


def posts(hosts: range, kinds: Sequence[AgentKind], lap: int) -> Iterator[Post]:
    """What every agent of these hosts says now, on its lap-th beat: all that is there on the first one and then now and
    then, as the agents' own heart has it, and otherwise that it is alive."""
    now = datetime.now(UTC)
    for number in hosts:
        host, whole = f"beat-{number:06d}", lap == 0 or (number + lap) % WHOLE_BEATS == 0
        for kind in kinds:
            alive = AgentAlive(kind=kind, host=host, taken_at=now, unchanged=True)
            report = KINDS[kind](host, now, lap == 0) if whole else alive
            yield Post(exchange=ANSWERS, key=REPORTS, envelope=seal(report, f"{kind}.{host}"))


class Beats:
    """The agents of `hosts` hosts."""

    def __init__(self, transport: AmqpTransport, hosts: int, kinds: Sequence[AgentKind]) -> None:
        self.transport, self.hosts, self.kinds = transport, hosts, kinds
        self.sent = 0
        self.deepest = 0

    async def announce(self, seconds: float) -> float:
        """The first report of every host; seconds until the conductor had taken all in. Raises TimeoutError."""
        began = time.monotonic()
        async with asyncio.timeout(seconds):
            for first in range(0, self.hosts, 100):
                await self._send(range(first, min(first + 100, self.hosts)), lap=0)
                while await self._depth() > 2_000:
                    await asyncio.sleep(0.1)
            await self.drained()
        return time.monotonic() - began

    async def beat(self, interval: float, seconds: float) -> None:
        """Report for `seconds`, each host every `interval`. Returns early when the backlog only grows."""
        began, done = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            due = int(passed / interval * self.hosts)
            while done < due:
                # At most one lap's end at a time: hosts are numbered round and round.
                first, count = done % self.hosts, min(due - done, 50, self.hosts - done % self.hosts)
                await self._send(range(first, first + count), lap=1 + done // self.hosts)
                done += count
            if await self._depth() > BACKLOG:
                return
            await asyncio.sleep(TICK_SECONDS)

    async def drained(self) -> None:
        """Wait until nothing waits in the conductor's inbox."""
        while await self._depth():
            await asyncio.sleep(0.1)

    async def _send(self, hosts: range, *, lap: int) -> None:
        owed = list(posts(hosts, self.kinds, lap))
        await self.transport.publish(owed)
        self.sent += len(owed)

    async def _depth(self) -> int:
        depth = await self.transport.depth(INBOX) or 0
        self.deepest = max(self.deepest, depth)
        return depth


async def measure(site: Site, args: argparse.Namespace, figures: Figures) -> None:
    """Announce the hosts, let them beat, and say what that cost."""
    kinds = [kind for kind in KINDS if kind in args.kinds.split(",")]
    bus = msgspec.structs.replace(site.config.bus, publish_seconds=60.0)
    transport = AmqpTransport(bus)
    await transport.open()
    conn = await asyncpg.connect(site.dsn, timeout=10)
    try:
        beats = Beats(transport, args.hosts, kinds)
        figures.add("heartbeats.announce", "s", await beats.announce(60 + args.hosts * 0.1), hosts=args.hosts)
        # Hosts that announced themselves first were silent meanwhile, and may count as down: one lap brings them back.
        await beats.beat(args.interval, args.interval)
        await asyncio.wait_for(beats.drained(), DRAIN_SECONDS)
        for _ in range(args.repeat):
            await steady(site, beats, conn, args, figures)
    finally:
        await transport.close()
        await conn.close()


async def steady(
    site: Site, beats: Beats, conn: asyncpg.Connection[Any], args: argparse.Namespace, figures: Figures
) -> None:
    """One run of the steady state."""
    rows = await statements(conn)
    cpu, sent, began = by_kind(site.cpu_seconds()), beats.sent, time.monotonic()
    beats.deepest = 0
    await beats.beat(args.interval, args.seconds)
    offered = (beats.sent - sent) / (time.monotonic() - began)
    waiting = await beats._depth()
    await asyncio.wait_for(beats.drained(), DRAIN_SECONDS)
    wall = time.monotonic() - began
    seen = (await conn.fetch(AGES))[0]
    used = {name: value - cpu.get(name, 0.0) for name, value in by_kind(site.cpu_seconds()).items()}
    count = beats.sent - sent
    after = await statements(conn)
    costs = {f"{name}_cpu_ms": used[name] / count * 1000 for name in ("conductor", "postgres", "rabbitmq")}
    figures.add(
        f"heartbeats.{args.hosts}.{args.interval:g}s.rate", "1/s", count / wall, offered_per_s=offered,
        waiting_at_end=waiting, deepest=beats.deepest, hosts_known=seen["count"], oldest_s=seen["oldest"], **costs,
        commits_per_report=(after["xact_commit"] - rows["xact_commit"]) / count,
        updates_per_report=(after["tup_updated"] - rows["tup_updated"]) / count,
    )  # fmt: skip


async def statements(conn: asyncpg.Connection[Any]) -> Any:
    """What the database has done so far."""
    return await conn.fetchrow("SELECT * FROM pg_stat_database WHERE datname = current_database()")


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", required=True, type=Path, help="state folder of the cloud")
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between two reports of an agent (10)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the steady state (60)")
    parser.add_argument("--kinds", default="compute,network,volume", help="agents on each host")
    parser.add_argument("--repeat", type=int, default=1, metavar="R", help="runs of the steady state (1)")
    parser.add_argument("--out", type=Path, help="write the figures there as JSON")
    args = parser.parse_args()
    site, figures, before = Site(args.state), Figures(), machine()
    asyncio.run(measure(site, args, figures))
    print(json.dumps(before))
    print(figures.table())
    if args.out:
        settings = {"hosts": args.hosts, "interval_s": args.interval, "seconds": args.seconds, "agents": args.kinds}
        write_json(args.out, before, settings, figures)


if __name__ == "__main__":
    main()

"""What has to be looked at from time to time, by one conductor at a time: a Postgres lock elects it anew each time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import structlog

from skybus import clock
from skybus.compute.hosts import hosts_silent
from skybus.doctor.hosts import ON_HOSTS
from skybus.errors import CloudError, Conflict
from skybus.placement.inventory import providers_silent
from skybus.store import Store, Tx
from skybus_conductor.cloud import Cloud
from skybus_conductor.peers import tell_untold_peers
from skybus_conductor.reconcilers import claims
from skybus_conductor.reconcilers.again import host_reconciled

log = structlog.get_logger()

SILENT_SECONDS = 60.0
"""A host that has not been heard of for so long is down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One periodic look."""

    name: str
    seconds: float
    look: Callable[[Tx], Awaitable[None]]

    async def run(self, store: Store) -> None:
        """Look again and again; one conductor of many does it each time."""
        while True:
            await asyncio.sleep(self.seconds)
            try:
                async with store.transaction() as tx:
                    if await tx.fetchval("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 1))", self.name):
                        await self.look(tx)
            except (CloudError, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("sweep_failed", sweep=self.name, reason=f"{type(error).__name__}: {error}")
            except Exception:
                log.exception("sweep_crashed", sweep=self.name)


async def silent_hosts(tx: Tx) -> None:
    """Mark the hosts that went silent as down: they get no new work."""
    before = clock.now() - timedelta(seconds=SILENT_SECONDS)
    # Hosts before providers, as reports take them, or the two would wait for each other.
    await hosts_silent(tx, before)
    for kind, host in await providers_silent(tx, before):
        log.warning("host_silent", kind=kind, host=host)


async def orphaned_claims(tx: Tx) -> None:
    """Release the claims of servers and volumes that are gone and on which nothing works."""
    for kind in claims.HOSTLESS:
        await claims.release_orphans(tx, kind)


def host_pictures(cloud: Cloud) -> Sweep:
    """Hold the tables against what hosts last reported: a host that has nothing new to tell may still differ from what
    has become of the tables."""

    async def look(tx: Tx) -> None:
        found = [one for check in ON_HOSTS for one in await check(tx)]
        for kind, host in sorted({one.repair[1:] for one in found if one.repair}):
            try:
                await host_reconciled(lambda: cloud, tx, kind, host)
            except Conflict as error:
                log.info("host_not_reconciled", kind=kind, host=host, reason=error.reason)

    return Sweep(name="host_pictures", seconds=60, look=look)


SWEEPS = (
    Sweep(name="untold_peers", seconds=1, look=tell_untold_peers),
    Sweep(name="silent_hosts", seconds=10, look=silent_hosts),
    Sweep(name="orphaned_claims", seconds=300, look=orphaned_claims),
)

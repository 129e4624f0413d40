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
from skybus.errors import CloudError
from skybus.placement.inventory import providers_silent
from skybus.store import Store, Tx
from skybus_conductor.peers import tell_untold_peers
from skybus_conductor.reconcilers import claims

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
    for kind, host in await providers_silent(tx, before):
        log.warning("host_silent", kind=kind, host=host)
    await hosts_silent(tx, before)


async def orphaned_claims(tx: Tx) -> None:
    """Release the claims of servers and volumes that are gone and on which nothing works."""
    for kind in claims.HOSTLESS:
        await claims.release_orphans(tx, kind)


SWEEPS = (
    Sweep(name="untold_peers", seconds=1, look=tell_untold_peers),
    Sweep(name="silent_hosts", seconds=10, look=silent_hosts),
    Sweep(name="orphaned_claims", seconds=300, look=orphaned_claims),
)

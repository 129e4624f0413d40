"""The exchanges and queues of the cloud. A broker that has lost them, as with its disk, gets them again from the
conductor, and what was in them is asked and told again: the database has all that matters.

The accounts are the broker's own affair: who runs it gives it them, as they are secrets that no worker has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import timedelta

import asyncpg
import structlog

from skybus import clock
from skybus.bus.transport import BusError, Queue, Transport, command_queue
from skybus.errors import CloudError
from skybus.metering.inbox import BINDINGS, EVENTS_QUEUE
from skybus.saga.lost_orders import operations_ask_again
from skybus.store import Store
from skybus.store.told_again import events_tell_again
from skybus_conductor.worker import DEAD_LETTERS, INBOX, REPORTED

log = structlog.get_logger()

LOOK_SECONDS = 1.0
"""Between two looks for a broker that came back empty, while the conductor has no connection."""
TOLD_AGAIN = timedelta(hours=1)
"""Events that are younger may have waited for metering when they were lost."""

KNOWN = "SELECT kind || '.' || host AS address FROM conductor.host_report ORDER BY 1"
_PASSING = (BusError, CloudError, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


def queues_of(addresses: Iterable[str]) -> list[Queue]:
    """Every durable queue of a cloud with the agents at these addresses. The conductor's own comes last."""
    return [DEAD_LETTERS, REPORTED, command_queue("scheduler"), EVENTS_QUEUE, *map(command_queue, addresses), INBOX]


class Topology:
    """`connect` makes a transport of its own for each look: the conductor's has no connection without its queue."""

    def __init__(self, store: Store, connect: Callable[[], Transport]) -> None:
        self.store = store
        self._connect = connect

    async def ensure(self) -> bool:
        """See to it that the queues are there; True when they had to be made. The conductor's own is made last, when
        everything else is done: while it is missing, all of it is done again. Raises BusError, CloudError."""
        transport = self._connect()
        try:
            await transport.open()
            if await transport.depth(INBOX.name) is not None:
                return False
            known = [row["address"] for row in await self.store.fetch(KNOWN)]
            *others, own = queues_of(known)
            await transport.declare(others)
            await self._repeat()
            await transport.declare([own])
        finally:
            await transport.close()
        log.warning("queues_made", agents=len(known))
        return True

    async def _repeat(self) -> None:
        """Orders that nobody has any more are given again at once, and events told again: both may come twice."""
        async with self.store.transaction() as tx:
            await operations_ask_again(tx)
            await events_tell_again(tx, BINDINGS, clock.now() - TOLD_AGAIN)

    async def keep(self, connected: Callable[[], bool]) -> None:
        """Look again and again, as long as the conductor is not connected."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if connected():
                continue
            try:
                await self.ensure()
            except (
                BusError,
                CloudError,
                OSError,
                TimeoutError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
            ) as error:
                log.info("queues_unknown", reason=f"{type(error).__name__}: {error}")
            except Exception:
                log.exception("topology_crashed")

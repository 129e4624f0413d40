"""Keeps what one process remembers of identity true, with no word of the bus: a look at revocations and at the count of
changes whenever one commits (NOTIFY), and every moment besides. A process whose last look is too long ago believes no
token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import asyncpg
import prometheus_client
import structlog

from skybus.errors import Outage, Unavailable
from skybus.identity.auth.revocations import CHANNEL, Revocations
from skybus.identity.login.login_memory import LOOK
from skybus.store import Store

log = structlog.get_logger()

LOOK_SECONDS = 0.5
"""Between two looks when nothing is notified: how late a revocation is learnt while the database answers."""
ANSWER_SECONDS = 2.0
"""Deadline of one look."""
PATIENCE_SECONDS = 1.0
"""How long a request waits for a look when the last one is too long ago, as after this process was stopped a while."""

FAILED = prometheus_client.Counter(
    "skybus_revocation_outages", "How often the database ceased to answer looks at the revocations."
)
REFUSED = prometheus_client.Counter(
    "skybus_tokens_not_believed", "Requests that were answered 503 because the picture of revocations was too old."
)
_PASSING = (Outage, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class RevocationWatch:
    """Looks at the revocations of `store` until cancelled. The picture is believed for `trust_seconds` after a look.

    `changed` is called when anything else of identity was changed since the last one.
    """

    def __init__(
        self, store: Store, revocations: Revocations, *, trust_seconds: float, changed: Callable[[], None]
    ) -> None:
        self.store = store
        self.revocations = revocations
        self.trust_seconds = trust_seconds
        self._changed = changed
        self._changes = -1
        self._failing = False
        self._wake = asyncio.Event()
        self._looked = asyncio.Event()

    @property
    def young(self) -> bool:
        """Whether the picture may be believed."""
        return time.monotonic() - self.revocations.confirmed_at < self.trust_seconds

    async def need(self) -> None:
        """Return when the picture may be believed. Raises Unavailable when it cannot be confirmed within a moment."""
        if not self.young and not self._failing:
            self._wake.set()
            try:
                await asyncio.wait_for(self._looked.wait(), PATIENCE_SECONDS)
            except TimeoutError:
                pass
        if not self.young:
            REFUSED.inc()
            raise Unavailable("Tokens cannot be validated at the moment: whether they were revoked is not known.")

    async def run(self) -> None:
        """Look, wait, look again, on a connection of our own: those that requests use may all be taken."""
        while True:
            try:
                async with self.store.connection() as conn:
                    await conn.add_listener(CHANNEL, lambda *_: self._wake.set())
                    while True:
                        await self._look(conn)
                        await self._rest()
            except _PASSING as error:
                self._fail(error)
            except Exception as error:
                log.exception("revocation_watch_crashed")
                self._fail(error)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, conn: Any) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                row = await conn.fetchrow(LOOK)
                await self.revocations.learn(conn, row["revision"], began)
        except _PASSING as error:
            # Said at once: to give back a connection on which nobody answers takes its time.
            self._fail(error)
            raise
        if row["changes"] != self._changes:
            self._changes = row["changes"]
            self._changed()
        if self._failing:
            self._failing = False
            log.info("revocations_confirmed_again")
        self._tell()

    def _fail(self, error: BaseException) -> None:
        if not self._failing:
            self._failing = True
            FAILED.inc()
            log.warning("revocations_not_confirmed", reason=f"{type(error).__name__}: {error}")
        self._tell()

    def _tell(self) -> None:
        """Let those go on who wait for this look; who comes later waits for the next."""
        looked, self._looked = self._looked, asyncio.Event()
        looked.set()

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), LOOK_SECONDS)
        except TimeoutError:
            pass
        self._wake.clear()

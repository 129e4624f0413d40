"""What is over is forgotten in time: ended operations, old events, an old audit trail, dead letters that were seen to,
old revocations.

Each look deletes a bounded number, so that it never holds a lock for long; looks come often enough to keep up with what
a busy cloud leaves behind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import structlog

from skybus import clock
from skybus.config import Retention
from skybus.identity.audit.audit_events import audit_events_forget
from skybus.identity.auth.revocations import revocations_forget
from skybus.saga.ended import operations_forget
from skybus.store import Tx
from skybus.store.event_log import events_forget
from skybus_conductor.dead_letters import dead_letters_forget
from skybus_conductor.sweeps import Sweep

log = structlog.get_logger()

SECONDS = 20.0
"""Between two looks."""
BATCH = 10_000
"""Rows that one look deletes at most: 500 a second."""

Forget = Callable[[Tx, datetime, int], Awaitable[int]]


def retention_sweeps(kept: Retention) -> Sequence[Sweep]:
    """A sweep for each thing that is not kept for ever."""
    ages: Sequence[tuple[str, Forget, float]] = (
        ("operations", operations_forget, kept.operations_days),
        ("events", events_forget, kept.events_days),
        ("audit_events", audit_events_forget, kept.audit_days),
        ("dead_letters", dead_letters_forget, kept.dead_letters_days),
    )
    sweeps = [
        Sweep(name=f"old_{name}", seconds=SECONDS, look=_forgetting(name, forget, timedelta(days=days)))
        for name, forget, days in ages
        if days > 0
    ]
    return [*sweeps, Sweep(name="old_revocations", seconds=3600, look=revocations_forget)]


def _forgetting(name: str, forget: Forget, age: timedelta) -> Callable[[Tx], Awaitable[None]]:
    async def look(tx: Tx) -> None:
        count = await forget(tx, clock.now() - age, BATCH)
        if count:
            log.info("forgotten", what=name, count=count)

    return look

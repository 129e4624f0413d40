"""Hosts that we have not heard of are silent, unless we were deaf: without a bus, without a database, or not there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta

from skybus import clock
from skybus.store import Tx
from skybus_conductor.sweeps import SILENT_SECONDS, Sweep

MISSED_LOOKS = 3
"""Looks that do not come when they should: meanwhile the database did not answer, or this process stood still."""


class Hearing:
    """Since when this conductor has heard without a break; `hears` says whether the bus is there now."""

    def __init__(self, hears: Callable[[], bool]) -> None:
        self._hears = hears
        self._looked: datetime | None = None
        self._since = clock.now()

    def patient(self, sweep: Sweep) -> Sweep:
        """`sweep`, but only once we have heard for as long as a host may be silent. A host that was marked as down
        though it was we who were away would be refused to users until its next heartbeat."""

        async def look(tx: Tx) -> None:
            if self.long_enough(timedelta(seconds=MISSED_LOOKS * sweep.seconds)):
                await sweep.look(tx)

        return dataclasses.replace(sweep, look=look)

    def long_enough(self, longest_break: timedelta) -> bool:
        """Whether we have heard for long enough; noted is that we looked now."""
        now = clock.now()
        if self._looked is None or now - self._looked > longest_break or not self._hears():
            self._since = now
        self._looked = now
        return now - self._since >= timedelta(seconds=SILENT_SECONDS)

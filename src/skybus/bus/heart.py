"""What an agent's heartbeat says: all that is on its host, or that nothing is new.

The whole picture costs the conductor a comparison with what should be, so it is sent when the agent starts, some beats
after something has changed (what orders change comes in crowds, and who gave them knows of it), and now and then. What
a host notices by itself, and somebody should know at once, is reported in a message of its own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from skybus.bus.message import AgentAlive, Report

SETTLED_BEATS = 3
"""Beats from the first that sees a change to the one that tells of it."""
WHOLE_BEATS = 60
"""Beats after which the whole picture is sent although nothing has changed."""

_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class Heart:
    """Remembers what was said last."""

    def __init__(self) -> None:
        self._told: Report | None = None
        self._beats = 0
        self._changed_beats = 0

    def beat(self, kind: Any, report: Report) -> Report:
        """What to send in place of `report`, which the agent has just taken: it, or an `AgentAlive`."""
        changed = self._told is None or _picture(report) != _picture(self._told)
        self._beats += 1
        self._changed_beats = self._changed_beats + 1 if changed else 0
        if self._told is None or self._changed_beats > SETTLED_BEATS or self._beats >= WHOLE_BEATS:
            return report
        whole: Any = report
        return AgentAlive(kind=kind, host=whole.host, taken_at=whole.taken_at, unchanged=not changed)

    def forget(self) -> None:
        """The next beat says everything."""
        self._told = None

    def told(self, report: Report) -> None:
        """`report` has reached the broker."""
        if not isinstance(report, AgentAlive):
            self._told, self._beats, self._changed_beats = report, 0, 0


def _picture(report: Report) -> Report:
    """The report without what differs from one beat to the next anyway."""
    return msgspec.structs.replace(report, taken_at=_NO_TIME, started=False)

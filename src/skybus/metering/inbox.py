"""The queue of the events that are metered. It outlives the workers: what happens while none runs is metered later."""

from __future__ import annotations

from skybus.bus.envelope import EVENTS
from skybus.bus.transport import Queue
from skybus.metering import existence

NAME = "skybus.metering"
BINDINGS = tuple(kind.TYPE for kind in existence.EVENTS)
"""Types of the events that are metered."""
EVENTS_QUEUE = Queue(name=NAME, bindings=tuple((EVENTS, pattern) for pattern in BINDINGS))

"""What happened, in order: the last of it to read, all of it as a digest that two equal runs share."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable

KEPT = 2_000
"""Steps that are kept to be shown."""


class Trace:
    """`now` says the virtual time. `follow` is called with each line, to print a run while it goes."""

    def __init__(self, now: Callable[[], float], follow: Callable[[str], None] | None = None) -> None:
        self._now = now
        self._follow = follow
        self._digest = hashlib.sha256()
        self.lines: deque[str] = deque(maxlen=KEPT)
        self.counts: Counter[str] = Counter()
        """How often each kind of step was noted."""

    def note(self, kind: str, who: str, what: str) -> None:
        """One step."""
        line = f"{self._now():12.6f} {kind:<9} {who:<14} {what}"
        self.counts[kind] += 1
        self.lines.append(line)
        self._digest.update(line.encode())
        if self._follow is not None:
            self._follow(line)

    @property
    def digest(self) -> str:
        """Of all steps so far."""
        return self._digest.hexdigest()[:16]

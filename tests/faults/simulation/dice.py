"""Where all chance comes from: one generator for each purpose, all from the seed.

Python's own sources of entropy (uuid4, secrets, SystemRandom, os.urandom) end in `os.urandom`; while a simulation runs,
that is a generator too.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Dice(random.Random):
    """A generator with the few draws that faults are made of."""

    def chance(self, probability: float) -> bool:
        """True that often."""
        return probability > 0 and self.random() < probability

    def about(self, seconds: float) -> float:
        """A waiting time with this mean; long ones are rare, and none is endless."""
        return min(self.expovariate(1 / seconds), seconds * 8) if seconds > 0 else 0.0


def dice(seed: int, purpose: str) -> Dice:
    """The generator of one purpose: what one purpose draws more or less changes nothing for the others."""
    return Dice(f"{seed}/{purpose}")


@contextmanager
def entropy(source: random.Random) -> Iterator[None]:
    """Let everything that asks the system for random bytes have them from `source`."""
    with _bytes_from(source.randbytes):
        yield


@contextmanager
def systems_entropy() -> Iterator[None]:
    """The system's own again: what a login to the database draws, if it draws, is no part of the seed."""
    with _bytes_from(_system):
        yield


_system = os.urandom


@contextmanager
def _bytes_from(draw: Callable[[int], bytes]) -> Iterator[None]:
    before = os.urandom
    os.urandom = draw
    random._urandom = draw  # type: ignore[attr-defined]
    try:
        yield
    finally:
        os.urandom = before
        random._urandom = before  # type: ignore[attr-defined]

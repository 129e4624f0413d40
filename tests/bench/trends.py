"""Whether a series grows: a robust slope, held against what is allowed; and how the series looks."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

WARM_UP = 0.25
"""Share of the samples, from the first on, in which caches, pools and plans fill."""
PARTS = 3
"""Early and late are the first and the last of so many equal parts."""
BARS = "▁▂▃▄▅▆▇█"
FEWEST = 6


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How much a series may rise between the end of its warm-up and its end and still count as flat: the larger of an
    amount and a share of its middle."""

    amount: float
    share: float = 0.0
    must_be_flat: bool = True
    """False for what keeps a history, and so grows with what is done."""

    def allowed(self, middle: float) -> float:
        """In the unit of the series."""
        return max(self.amount, self.share * abs(middle))


@dataclass(frozen=True, kw_only=True)
class Trend:
    """What became of one series."""

    rise: float
    """By the slope over all that was looked at, in the unit of the series."""
    allowed: float
    grows: bool
    last: float


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Median of the slopes between all pairs (Theil and Sen): a few outliers do not move it."""
    pairs = [
        (values[j] - values[i]) / (times[j] - times[i])
        for i in range(len(times))
        for j in range(i + 1, len(times))
        if times[j] > times[i]
    ]
    return statistics.median(pairs) if pairs else 0.0


def trend(times: Sequence[float], values: Sequence[float], limit: Limit) -> Trend:
    """It grows when the slope says so and the last part lies above the first as well: a single step up, or a wave that
    the end cuts, is no growth by itself. Raises ValueError for fewer samples than can tell."""
    if len(values) < FEWEST:
        raise ValueError(f"{len(values)} samples say nothing; {FEWEST} do")
    start = min(int(len(values) * WARM_UP), len(values) - FEWEST)
    kept_times, kept = times[start:], values[start:]
    rise = slope(kept_times, kept) * (kept_times[-1] - kept_times[0])
    part = max(1, len(kept) // PARTS)
    step = statistics.median(kept[-part:]) - statistics.median(kept[:part])
    allowed = limit.allowed(statistics.median(kept))
    return Trend(rise=rise, allowed=allowed, grows=rise > allowed and step > allowed / 2, last=values[-1])


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """The series as a line of bars, from its least to its greatest value."""
    if len(values) > width:
        edges = [round(index * len(values) / width) for index in range(width + 1)]
        values = [max(values[a:b]) for a, b in pairwise(edges)]
    low, high = min(values), max(values)
    if high == low:
        return BARS[0] * len(values)
    return "".join(BARS[int((value - low) / (high - low) * (len(BARS) - 1))] for value in values)

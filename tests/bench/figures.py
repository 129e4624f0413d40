"""Figures by name: the runs of each, their medians, as a table and as JSON of a stable shape."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank, in the unit of the values. Raises ValueError when there are none."""
    if not values:
        raise ValueError("a percentile of nothing")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def spread(values: Sequence[float]) -> dict[str, float]:
    """The percentiles that we show, by name; nothing when there are no values."""
    return {name: percentile(values, share) for name, share in PERCENTILES.items()} if values else {}


class Figures:
    """What was measured. Adding under a name again is another run of it."""

    def __init__(self) -> None:
        self.units: dict[str, str] = {}
        self.runs: dict[str, list[float]] = {}
        self.details: dict[str, dict[str, list[float]]] = {}

    def add(self, name: str, unit: str, value: float, **details: float) -> None:
        """One run. `details` are figures beside it: percentiles, CPU, counts; each says its unit in its name, unless it
        is a percentile, which has the unit of the figure or ms where that is a rate."""
        self.units[name] = unit
        self.runs.setdefault(name, []).append(value)
        known = self.details.setdefault(name, {})
        for detail, amount in details.items():
            known.setdefault(detail, []).append(amount)

    def add_spread(self, name: str, unit: str, values: Sequence[float], **details: float) -> None:
        """One run whose value is the median of many samples. Nothing is added when there are none."""
        if values:
            self.add(name, unit, statistics.median(values), **spread(values), **details)

    def document(self) -> dict[str, dict[str, Any]]:
        """{name: {unit, median, runs, ...}}: the details are medians of the runs, too."""
        return {
            name: {
                "unit": self.units[name],
                "median": rounded(statistics.median(runs)),
                "runs": [rounded(run) for run in runs],
                **{detail: rounded(statistics.median(found)) for detail, found in self.details[name].items()},
            }
            for name, runs in self.runs.items()
        }

    def table(self) -> str:
        """A line for each figure."""
        width = max((len(name) for name in self.runs), default=0)
        return "\n".join(_line(name, width, figure) for name, figure in self.document().items())


def _line(name: str, width: int, figure: dict[str, Any]) -> str:
    details = "  ".join(f"{key} {value:g}" for key, value in figure.items() if key not in ("unit", "median", "runs"))
    runs = f"  ({', '.join(f'{run:g}' for run in figure['runs'])})" if len(figure["runs"]) > 1 else ""
    return f"{name:<{width}}  {figure['median']:>10g} {figure['unit']:<6}{runs}  {details}".rstrip()


def rounded(value: float) -> float:
    """To four significant digits: nothing that we measure is known better."""
    return float(f"{value:.4g}")


def write_json(path: Path, machine: dict[str, Any], settings: dict[str, Any], figures: Figures) -> None:
    """The file that later runs are compared with."""
    document = {"machine": machine, "settings": settings, "figures": figures.document()}
    path.write_text(json.dumps(document, indent=1) + "\n")

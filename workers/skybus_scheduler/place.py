"""Choosing a host: a picture in, a decision out. No connection, no clock, no dice.

Filters take hosts away, each counted, so that a refusal says how many hosts failed at what and who came closest;
weighers order those that are left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from skybus_scheduler.host_table import CLASSES, HostTable

Mask = npt.NDArray[np.bool_]
CLOSEST = 3
"""How many near misses a refusal names."""
UNITS = {"VCPU": "vCPU", "MEMORY_MB": "MiB of memory", "DISK_GB": "GiB of disk"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be placed: amounts by resource class, and where not."""

    resources: Mapping[str, int]
    availability_zone: str | None = None
    avoid: frozenset[str] = frozenset()

    def amounts(self) -> npt.NDArray[np.int64]:
        """The amounts, in the order of the table's columns."""
        return np.array([self.resources.get(name, 0) for name in CLASSES], dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoFit:
    """No host can take it, and why: the story of the filters, in order."""

    hosts: int
    removed: dict[str, int]
    closest: list[dict[str, str]] = field(default_factory=list)

    def sentence(self) -> str:
        """For people."""
        if not self.hosts:
            return "No valid host was found: there are no hosts."
        why = ", ".join(f"{name} removed {count}" for name, count in self.removed.items())
        near = f"; closest was {self.closest[0]['host']}: {self.closest[0]['reason']}" if self.closest else ""
        return f"No valid host was found among {self.hosts}: {why}{near}."

    def details(self) -> dict[str, Any]:
        """For programs."""
        return {"hosts": self.hosts, "removed": self.removed, "closest": self.closest}


def host_up(table: HostTable, wish: Wish) -> Mask:
    """The host was heard lately."""
    return table.up[: len(table)]


def host_enabled(table: HostTable, wish: Wish) -> Mask:
    """The operator lets the host take new work."""
    return table.enabled[: len(table)]


def availability_zone(table: HostTable, wish: Wish) -> Mask:
    """The host is in the zone that was asked for."""
    if wish.availability_zone is None:
        return np.ones(len(table), dtype=np.bool_)
    mask: Mask = table.zone[: len(table)] == table.zone_code(wish.availability_zone)
    return mask


def not_tried(table: HostTable, wish: Wish) -> Mask:
    """The host has not been tried in vain for this wish."""
    mask = np.ones(len(table), dtype=np.bool_)
    for host in wish.avoid:
        row = table.row(host)
        if row is not None:
            mask[row] = False
    return mask


def _fits(column: int) -> Callable[[HostTable, Wish], Mask]:
    def fits(table: HostTable, wish: Wish) -> Mask:
        wanted = wish.resources.get(CLASSES[column], 0)
        if not wanted:
            return np.ones(len(table), dtype=np.bool_)
        mask: Mask = table.free[:, column] >= wanted
        return mask

    return fits


FILTERS: tuple[tuple[str, Callable[[HostTable, Wish], Mask]], ...] = (
    ("up", host_up),
    ("enabled", host_enabled),
    ("availability_zone", availability_zone),
    ("not_tried", not_tried),
    ("vcpus", _fits(0)),
    ("memory", _fits(1)),
    ("disk", _fits(2)),
)
_CAPACITY = len(FILTERS) - len(CLASSES)
"""Index of the first filter about capacity: near misses are looked for among the hosts that passed those before."""


def roominess(table: HostTable, wish: Wish) -> npt.NDArray[np.float64]:
    """Weigher: the smallest share of any wanted class that would be left free; more is better, so load spreads."""
    wanted = wish.amounts()
    columns = np.flatnonzero(wanted)
    if not len(columns):
        return np.zeros(len(table))
    weight: npt.NDArray[np.float64] = np.full(len(table), np.inf)
    for column in columns:
        left = (table.free[:, column] - wanted[column]) / np.maximum(table.capacity[: len(table), column], 1)
        np.minimum(weight, left, out=weight)
    return weight


def place(table: HostTable, wish: Wish) -> str | NoFit:
    """The name of the roomiest host that fits; of equals the first by name. Same input, same answer."""
    mask = np.ones(len(table), dtype=np.bool_)
    removed: dict[str, int] = {}
    candidates = mask
    for index, (name, passes) in enumerate(FILTERS):
        if index == _CAPACITY:
            candidates = mask
        passed = mask & passes(table, wish)
        lost = int(mask.sum() - passed.sum())
        if lost:
            removed[name] = lost
        mask = passed
    if not mask.any():
        return NoFit(hosts=len(table), removed=removed, closest=_closest(table, wish, candidates))
    rows = np.flatnonzero(mask)
    weights = roominess(table, wish)[rows]
    return table.first_by_name(rows[weights == weights.max()])


def _closest(table: HostTable, wish: Wish, candidates: Mask) -> list[dict[str, str]]:
    """The hosts that lack least, each with what it lacks."""
    rows = np.flatnonzero(candidates)
    if not len(rows):
        return []
    wanted = wish.amounts()
    free = table.free[rows]
    lack = np.where(wanted > 0, np.maximum(wanted - free, 0) / np.maximum(wanted, 1), 0).sum(axis=1)
    order = np.argsort(lack, kind="stable")[:CLOSEST]
    return [{"host": table.names[rows[i]], "reason": _lacks(wanted, free[i])} for i in order]


def _lacks(wanted: npt.NDArray[np.int64], free: npt.NDArray[np.int64]) -> str:
    parts = [
        f"needs {int(want)} {UNITS[name]}, {max(int(have), 0)} free"
        for name, want, have in zip(CLASSES, wanted, free, strict=True)
        if want > have
    ]
    return "; ".join(parts)

"""The scheduler's picture of all hosts, in columns, so that one look at ten thousand hosts is a few array operations.

The picture is a hint: the claim decides. It is fed by events, and reloaded where a claim showed that it was old.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from skybus.messages.placement import ProviderChanged

CLASSES = ("VCPU", "MEMORY_MB", "DISK_GB")
"""The resource classes that have a column; in this order."""


Amounts = npt.NDArray[np.int64]


class HostTable:
    """The hosts of one kind. Rows are appended and updated in place; a host keeps its row.

    The arrays are longer than there are hosts: only the first `len(table)` rows are any.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._rows: dict[str, int] = {}
        self._generations: list[int] = []
        self._zones: dict[str, int] = {}
        self._ranks: npt.NDArray[np.int64] | None = None
        self.zone: npt.NDArray[np.int64] = np.zeros(16, dtype=np.int64)
        self.up: npt.NDArray[np.bool_] = np.zeros(16, dtype=np.bool_)
        self.enabled: npt.NDArray[np.bool_] = np.zeros(16, dtype=np.bool_)
        # By columns, because filters look at one class of all hosts.
        self.capacity: Amounts = np.zeros((16, len(CLASSES)), dtype=np.int64, order="F")
        self.used: Amounts = np.zeros_like(self.capacity)
        self._free: Amounts = np.zeros_like(self.capacity)

    def __len__(self) -> int:
        return len(self.names)

    def learn(self, picture: ProviderChanged) -> None:
        """Take in a host's picture unless a newer one is known."""
        row = self._rows.get(picture.host)
        if row is None:
            row = self._append(picture.host)
        elif picture.generation < self._generations[row]:
            return
        self._generations[row] = picture.generation
        self.zone[row] = self._zones.setdefault(picture.availability_zone, len(self._zones))
        self.up[row] = picture.up
        self.enabled[row] = picture.enabled
        self.capacity[row] = [int(picture.capacity.get(name, 0)) for name in CLASSES]
        self.used[row] = [int(picture.used.get(name, 0)) for name in CLASSES]
        self._free[row] = self.capacity[row] - self.used[row]

    def learn_all(self, pictures: Iterable[ProviderChanged]) -> None:
        """Take in many."""
        for picture in pictures:
            self.learn(picture)

    def expect(self, host: str, resources: Mapping[str, int], *, undo: bool = False) -> None:
        """Count `resources` as used on `host`, or no longer: between a choice and what comes of it."""
        row = self._rows[host]
        amounts = np.array([resources.get(name, 0) for name in CLASSES])
        self.used[row] += -amounts if undo else amounts
        self._free[row] = self.capacity[row] - self.used[row]

    def row(self, host: str) -> int | None:
        """The host's row."""
        return self._rows.get(host)

    def zone_code(self, name: str) -> int:
        """What `zone` holds for the hosts of this zone; -1, which no host has, when there is none."""
        return self._zones.get(name, -1)

    def first_by_name(self, rows: npt.NDArray[Any]) -> str:
        """Of some rows, the name that sorts first."""
        if self._ranks is None:
            self._ranks = np.empty(len(self), dtype=np.int64)
            self._ranks[sorted(range(len(self)), key=self.names.__getitem__)] = np.arange(len(self))
        return self.names[int(rows[self._ranks[rows].argmin()])]

    @property
    def free(self) -> Amounts:
        """What is free, (hosts, classes)."""
        return self._free[: len(self)]

    def _append(self, host: str) -> int:
        row = len(self.names)
        if row == len(self.up):
            for name in ("zone", "up", "enabled", "capacity", "used", "_free"):
                setattr(self, name, _twice_as_long(getattr(self, name)))
        self.names.append(host)
        self._generations.append(-1)
        self._rows[host] = row
        self._ranks = None
        return row


def _twice_as_long(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    longer = np.zeros((len(array) * 2, *array.shape[1:]), dtype=array.dtype, order="F")
    longer[: len(array)] = array
    return longer

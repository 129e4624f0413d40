"""The scheduler's picture of all hosts, in columns, so that one look at ten thousand hosts is a few array operations.

The picture is a hint: the claim decides. It is fed by events, and reloaded where a claim showed that it was old.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from skybus.messages.placement import ProviderChanged

CLASSES = ("VCPU", "MEMORY_MB", "DISK_GB")
"""The resource classes that have a column; in this order."""


class HostTable:
    """The hosts of one kind. Rows are appended and updated in place; a host keeps its row."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.zones: list[str] = []
        self._rows: dict[str, int] = {}
        self._generations: list[int] = []
        self.capacity: npt.NDArray[np.int64] = np.zeros((16, len(CLASSES)), dtype=np.int64)
        self.used: npt.NDArray[np.int64] = np.zeros((16, len(CLASSES)), dtype=np.int64)
        self.up: npt.NDArray[np.bool_] = np.zeros(16, dtype=np.bool_)
        self.enabled: npt.NDArray[np.bool_] = np.zeros(16, dtype=np.bool_)

    def __len__(self) -> int:
        return len(self.names)

    def learn(self, picture: ProviderChanged) -> None:
        """Take in a host's picture unless a newer one is known."""
        row = self._rows.get(picture.host)
        if row is None:
            row = self._append(picture.host)
        elif picture.generation <= self._generations[row]:
            return
        self._generations[row] = picture.generation
        self.zones[row] = picture.availability_zone
        self.up[row] = picture.up
        self.enabled[row] = picture.enabled
        for column, name in enumerate(CLASSES):
            self.capacity[row, column] = int(picture.capacity.get(name, 0))
            self.used[row, column] = int(picture.used.get(name, 0))

    def learn_all(self, pictures: Iterable[ProviderChanged]) -> None:
        """Take in many."""
        for picture in pictures:
            self.learn(picture)

    def row(self, host: str) -> int | None:
        """The host's row."""
        return self._rows.get(host)

    @property
    def free(self) -> npt.NDArray[np.int64]:
        """What is free, (hosts, classes)."""
        count = len(self)
        free: npt.NDArray[np.int64] = self.capacity[:count] - self.used[:count]
        return free

    def _append(self, host: str) -> int:
        row = len(self.names)
        if row == len(self.up):
            self.capacity = np.concatenate([self.capacity, np.zeros_like(self.capacity)])
            self.used = np.concatenate([self.used, np.zeros_like(self.used)])
            self.up = np.concatenate([self.up, np.zeros_like(self.up)])
            self.enabled = np.concatenate([self.enabled, np.zeros_like(self.enabled)])
        self.names.append(host)
        self.zones.append("")
        self._generations.append(-1)
        self._rows[host] = row
        return row

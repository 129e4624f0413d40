"""What the image service asks of a place that keeps image data."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from skybus.errors import TooLarge, Unavailable

DEFAULT_MAX_BYTES = 1 << 40
"""What one image may have, unless the gateway says otherwise: 1 TiB."""


class StoreFull(TooLarge):
    """There is no room for more image data."""

    code = "image.store-full"


class StoreTroubled(Unavailable):
    """The store cannot be written or read now."""

    code = "image.store-troubled"


class Incoming(Protocol):
    """Data on its way in. All three may block: call them from a thread. Raises StoreFull, StoreTroubled."""

    def write(self, chunk: bytes) -> None:
        """Add `chunk`."""
        ...

    def commit(self) -> None:
        """Make everything durable and visible under its name."""
        ...

    def abort(self) -> None:
        """Forget what was not committed. Content to be called twice, and after commit."""
        ...


class ImageStore(Protocol):
    """A place for image data, by name. The methods may block: call them from a thread."""

    store_id: str
    """What users know the store by."""
    description: str
    max_bytes: int
    """What one image may have."""

    def receive(self, name: str) -> Incoming:
        """Begin to take in data that will be called `name`. Raises StoreFull, StoreTroubled."""
        ...

    def path(self, name: str) -> Path:
        """The file that holds `name`, for sendfile."""
        ...

    def remove(self, name: str) -> None:
        """Delete `name`. Content to find nothing."""
        ...

    def sweep(self, known: Collection[str], older_than_seconds: float) -> list[str]:
        """Delete what a crash left: half-received data that nobody writes any more, and files that are not among
        `known` and have not been touched for a while. Answer what was deleted."""
        ...

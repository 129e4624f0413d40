"""A gateway that answers everything and changes nothing: each transaction is rolled back as if it had been committed.

So any number of callers can ask for the same deletion, and each gets the answer that the first would get.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from skybus.bus.context import current
from skybus.identity import Identity
from skybus.image.store_fs import FsStore
from skybus.store import Store, Tx

AUDITED = "SELECT action FROM identity.audit_event WHERE request_id = $1"


class _RolledBackError(Exception):
    pass


class DryStore(Store):
    """A store that commits nothing. `audited` holds what each request would have left in the audit trail."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.audited: dict[str, list[str]] = {}

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        request_id = current().request_id
        try:
            async with super().transaction() as tx:
                yield tx
                if request_id:
                    kept = [row["action"] for row in await tx.fetch(AUDITED, request_id)]
                    self.audited.setdefault(request_id, []).extend(kept)
                raise _RolledBackError
        except _RolledBackError:
            pass


class DryIdentity(Identity):
    """What did not happen is not taken note of either."""

    async def apply_event(self, kind: str, body: dict[str, Any]) -> None:
        """Nothing."""


class DryImages(FsStore):
    """Deletes no data."""

    def remove(self, name: str) -> None:
        """Nothing."""

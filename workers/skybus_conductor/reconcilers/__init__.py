"""What must stay true: each reconciler compares what should be on a host with what the host says is there.

They have no memory, may run any number of times, repair what is safe, report the rest, and destroy nothing on a guess.
What an operation is working on is left to the operation.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from skybus.bus.context import Context, bound, current
from skybus.store import Tx

BUSY = """
SELECT resource_id FROM saga.operation
 WHERE resource_type = $1 AND resource_id = ANY($2::text[]) AND state IN ('waiting', 'running', 'undoing')
"""


async def busy(tx: Tx, resource_type: str, ids: Iterable[str]) -> set[str]:
    """Those of the resources that an operation works on now."""
    return {row["resource_id"] for row in await tx.fetch(BUSY, resource_type, list(ids))}


def on_behalf(row: Any) -> AbstractContextManager[None]:
    """Bind the context of a server's or volume's owner, for an operation that is begun for him."""
    return bound(Context(request_id=current().request_id, project_id=row["project_id"], user_id=row["user_id"]))

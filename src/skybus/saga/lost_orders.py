"""Orders that the bus has lost."""

from __future__ import annotations

from skybus import clock
from skybus.store import Tx

# The attempt that was lost does not count: a step may have but one.
ASK_AGAIN = """
UPDATE saga.operation SET deadline = $1, attempt = greatest(attempt - 1, 0)
 WHERE state IN ('running', 'undoing') AND deadline > $1
"""


async def operations_ask_again(tx: Tx) -> None:
    """Make every operation that waits for answers overdue, so that the next sweep gives its orders again. For a bus
    that has lost its queues; where it has not, an agent finds its work done."""
    await tx.execute(ASK_AGAIN, clock.now())

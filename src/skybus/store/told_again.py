"""Events that the bus has lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from skybus.bus.envelope import EVENTS
from skybus.store.store import Tx

TELL_AGAIN = """
INSERT INTO bus.outbox (exchange, routing_key, message_id, type, source, subject, project_id, request_id, operation_id,
                        command_id, traceparent, time, body, position)
SELECT $1, type, id, type, source, subject, project_id, request_id, operation_id, '', traceparent, time, body::text,
       position
  FROM bus.event WHERE type = ANY($2::text[]) AND time > $3 ORDER BY position
"""


async def events_tell_again(tx: Tx, types: Sequence[str], since: datetime) -> None:
    """Publish the events of these types that are younger than `since` once more, as they were: same id, same number."""
    await tx.execute(TELL_AGAIN, EVENTS, list(types), since)

"""Dead letters: messages that nobody could handle, kept so that they can be listed, understood and sent again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from skybus import clock
from skybus.bus.envelope import COMMANDS, Envelope
from skybus.bus.transport import Delivery
from skybus.errors import BadRequest
from skybus.messages.operations import MessageDied, MessageDiscarded
from skybus.store import Store, Tx
from skybus.store.relay import post_of

INSERT = """
INSERT INTO bus.dead_letter (id, exchange, routing_key, queue, reason, type, source, subject, project_id, request_id,
                             operation_id, command_id, traceparent, time, body, died_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (id) DO UPDATE SET died_at = EXCLUDED.died_at, reason = EXCLUDED.reason, replayed_at = NULL,
    discarded_at = NULL, discarded_reason = NULL
"""
LIST = """
SELECT id, queue, reason, type, source, subject, request_id, died_at, replayed_at, discarded_at, discarded_reason
  FROM bus.dead_letter WHERE replayed_at IS NULL AND discarded_at IS NULL OR $1 ORDER BY died_at DESC LIMIT $2
"""
SHOW = """
SELECT *, id AS message_id, NULL::bigint AS position FROM bus.dead_letter WHERE id = $1
"""
REPLAYED = "UPDATE bus.dead_letter SET replayed_at = $2 WHERE id = $1"
DISCARD = "UPDATE bus.dead_letter SET discarded_at = $2, discarded_reason = $3 WHERE id = $1 RETURNING type"
COUNT = "SELECT count(*) FROM bus.dead_letter WHERE replayed_at IS NULL AND discarded_at IS NULL"
FORGET = """
DELETE FROM bus.dead_letter WHERE id IN (
    SELECT id FROM bus.dead_letter WHERE greatest(replayed_at, discarded_at) < $1 LIMIT $2)
"""
REASONS = {
    "rejected": "refused: nobody there can understand it or ever carry it out (see the log of its consumer)",
    "delivery_limit": "failed every time it was delivered (see the log of its consumer)",
}


async def dead_letter_insert(tx: Tx, delivery: Delivery) -> None:
    """Keep a message, and announce that it died."""
    e: Envelope = _storable(delivery.envelope)
    reason = REASONS.get(delivery.died_of, delivery.died_of)
    body = _text(e.body.decode("utf-8", errors="backslashreplace"))
    await tx.execute(
        INSERT,
        e.id,
        delivery.exchange,
        _text(delivery.key),
        delivery.died_in,
        reason,
        e.type,
        e.source,
        e.subject,
        e.project_id,
        e.request_id,
        e.operation_id,
        e.command_id,
        e.traceparent,
        e.time,
        body,
        clock.now(),
    )
    tx.publish(MessageDied(message_id=e.id, message_type=e.type, queue=delivery.died_in, reason=reason), project_id="")


def _storable(envelope: Envelope) -> Envelope:
    """The envelope with attributes that Postgres takes: what killed a message must not keep it from being buried."""
    attributes = {
        name: _text(value) for name, value in msgspec.structs.asdict(envelope).items() if isinstance(value, str)
    }
    return msgspec.structs.replace(envelope, **attributes)


def _text(value: str) -> str:
    return value.replace("\0", "\\0")


async def dead_letter_list(store: Store, *, replayed: bool = False, limit: int = 1000) -> list[Any]:
    """Those that wait for somebody, newest first; with `replayed`, those that were sent again or discarded too."""
    return await store.fetch(LIST, replayed, limit)


async def dead_letter_get(store: Store | Tx, message_id: str) -> Any:
    """One dead letter, whole, or None."""
    return await store.fetchrow(SHOW, message_id)


async def dead_letter_replay(tx: Tx, message_id: str) -> bool:
    """Send a dead letter again to where it was going; answer whether there is one."""
    row = await dead_letter_get(tx, message_id)
    if row is None:
        return False
    tx.posts.append(post_of({**dict(row), "exchange": row["exchange"] or COMMANDS}))
    await tx.execute(REPLAYED, message_id, clock.now())
    return True


async def dead_letter_discard(tx: Tx, message_id: str, reason: str) -> bool:
    """Note that nobody wants a dead letter sent again, and why; answer whether there is one. Raises BadRequest without
    a reason."""
    if not reason.strip():
        raise BadRequest("A dead letter is discarded for a reason.")
    kind = await tx.fetchval(DISCARD, message_id, clock.now(), reason.strip())
    if kind is not None:
        tx.publish(MessageDiscarded(message_id=message_id, message_type=kind, reason=reason.strip()), project_id="")
    return kind is not None


async def dead_letters_forget(tx: Tx, before: datetime, limit: int) -> int:
    """Delete up to `limit` of those that were sent again or discarded before a moment; answer how many."""
    return int((await tx.execute(FORGET, before, limit)).rpartition(" ")[2])


async def dead_letter_count(store: Store) -> int:
    """How many wait."""
    return int(await store.fetchval(COUNT))

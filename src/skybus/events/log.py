"""Reading the event log on behalf of a subscriber."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from skybus.errors import CloudError
from skybus.http.times import micros_z
from skybus.store import Store
from skybus.store.event_log import events_oldest
from skybus.store.tail import HEAD

BATCH = 200
AFTER = """
SELECT position, id, type, source, subject, project_id, request_id, operation_id, time, body
  FROM bus.event
 WHERE position > $1 AND position <= $2 AND type LIKE ANY($3::text[])
   AND ($4::text IS NULL OR project_id = $4) AND ($5::text IS NULL OR subject = $5)
 ORDER BY position LIMIT $6
"""
OF_REQUEST = """
SELECT position, id, type, source, subject, project_id, request_id, operation_id, time, body
  FROM bus.event WHERE request_id = $1 ORDER BY position
"""


class Gone(CloudError):
    """What was asked for is older than the log."""

    code, status, title = "events.gone", 410, "Gone"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscriber wants to see. `project_id` None is every project, which an admin alone may ask."""

    project_id: str | None
    patterns: tuple[str, ...] = ("%",)
    """SQL LIKE patterns of types."""
    subject: str | None = None


def like_pattern(pattern: str) -> str:
    """A type pattern as users write it (`skybus.compute.server.*`, `*` is anything) as a LIKE pattern."""
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("#", "%")


async def head(store: Store) -> int:
    """The position of the newest event."""
    return int(await store.fetchval(HEAD))


async def check_kept(store: Store, position: int) -> None:
    """Raises Gone when an event behind `position` is no longer kept: whoever went on there would miss it."""
    begins = await events_oldest(store)
    if position + 1 < begins:
        raise Gone(
            f"The event log begins at position {begins}; what is older was deleted. Read the state that you follow "
            f"anew, and go on behind position {begins - 1} or later.",
            oldest=begins,
        )


async def after(store: Store, position: int, wanted: Wanted) -> tuple[Sequence[Any], int]:
    """The next batch behind `position`, and the position up to which nothing is left to see."""
    newest = await head(store)
    rows = await store.fetch(AFTER, position, newest, list(wanted.patterns), wanted.project_id, wanted.subject, BATCH)
    return rows, rows[-1]["position"] if len(rows) == BATCH else max(newest, position)


async def of_request(store: Store, request_id: str) -> list[Any]:
    """Every event that a request led to, in order."""
    return await store.fetch(OF_REQUEST, request_id)


def shown(row: Any) -> dict[str, Any]:
    """An event as a CloudEvent in structured mode."""
    return {
        "specversion": "1.0",
        "id": row["id"],
        "type": row["type"],
        "source": row["source"],
        "subject": row["subject"],
        "time": micros_z(row["time"]),
        "datacontenttype": "application/json",
        "projectid": row["project_id"],
        "requestid": row["request_id"],
        "operationid": row["operation_id"],
        "position": row["position"],
        "data": row["body"],
    }

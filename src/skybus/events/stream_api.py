"""GET /stream: the events of one's project as Server-Sent Events, from now or from any earlier position.

Every subscriber reads the log at its own pace, so a slow one is nobody's trouble but its own, and a reconnection with
`Last-Event-ID` goes on exactly where the last one ended.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

import msgspec
from aiohttp import web

from skybus import clock
from skybus.errors import BadRequest, Forbidden
from skybus.events import log as event_log
from skybus.http.call import Call
from skybus.http.routes import NO_BODY, Route
from skybus.store.event_log import events_oldest

KEEPALIVE_SECONDS = 15.0
MAX_PATTERNS = 20
_encode = msgspec.json.Encoder().encode


async def stream(call: Call) -> web.StreamResponse:
    """Send events until the client goes away."""
    wanted = _wanted(call)
    position = await _start(call)
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    for name in call.api.request_id_headers:
        response.headers[name] = call.context.request_id
    response.enable_chunked_encoding()
    await response.prepare(call.request)
    await response.write(f": position {position}\n\n".encode())
    expires_at = call.caller.expires_at
    while not _over(call, expires_at):
        # A token that was revoked meanwhile ends the stream: the same check as for a new request.
        await call.dispatcher.authenticate(call.caller.token)
        rows, reached = await event_log.after(call.store, position, wanted)
        if rows:
            await response.write(b"".join(_frame(row) for row in rows))
        elif reached == position and not await _something_new(call, position):
            await response.write(b": still here\n\n")
        position = reached
    return response


def _over(call: Call, expires_at: datetime | None) -> bool:
    """Whether the token has expired, or this gateway is about to stop: the client goes on elsewhere."""
    tail = call.store.tail
    return (expires_at is not None and expires_at <= clock.now()) or (tail is not None and tail.closing)


async def _something_new(call: Call, position: int) -> bool:
    tail = call.store.tail
    if tail is not None:
        return bool(await tail.beyond(position, KEEPALIVE_SECONDS))
    await asyncio.sleep(0.2)
    return True


def _frame(row: object) -> bytes:
    event = event_log.shown(row)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event["position"], event["type"].encode(), _encode(event))


def _wanted(call: Call) -> event_log.Wanted:
    project_id: str | None = call.caller.project_id
    asked = call.query.get("project")
    if call.permits("events:admin"):
        project_id = asked
    elif asked is not None and asked != project_id:
        raise Forbidden("Another project's events are not yours to see.")
    patterns = [part for text in call.query.getall("type", []) for part in text.split(",") if part]
    if len(patterns) > MAX_PATTERNS or any(len(pattern) > 200 for pattern in patterns):
        raise BadRequest(f"At most {MAX_PATTERNS} type patterns of at most 200 characters are taken.")
    return event_log.Wanted(
        project_id=project_id,
        patterns=tuple(event_log.like_pattern(pattern) for pattern in patterns) or ("%",),
        subject=call.query.get("resource"),
    )


async def _start(call: Call) -> int:
    """The position behind which to begin: `Last-Event-ID`, else `position`, else the log's end; `earliest` is the
    beginning of what is kept. Raises Gone for a position before that."""
    text = call.headers.get("Last-Event-ID") or call.query.get("position")
    if text is None:
        return await event_log.head(call.store)
    if text == "earliest":
        return await events_oldest(call.store) - 1
    if not text.isdecimal() or len(text) > 18:
        raise BadRequest(f"{text[:32]!r} is not a position in the event log.")
    position = int(text)
    await event_log.check_kept(call.store, position)
    return position


ROUTES = [Route(method="GET", path="/stream", handler=stream, policy="events:stream", body=NO_BODY)]

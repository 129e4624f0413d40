"""What is around a message on its way: the attributes of CloudEvents 1.0, and where it is going."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from skybus import clock
from skybus.bus.context import current
from skybus.bus.message import Message, encode
from skybus.ids import new_id

EVENTS = "skybus.events"
"""Topic exchange; the routing key is the event's type."""
COMMANDS = "skybus.commands"
"""Direct exchange; the routing key is a worker's address: `scheduler`, `compute.host-7`."""
ANSWERS = "skybus.answers"
"""Direct exchange to the conductor; all that a host agent may write to."""
DEAD = "skybus.dead"
"""Fanout exchange of what nobody could handle."""
CONDUCTOR = "conductor"
"""Routing key of answers, and of what a host tells once."""
REPORTS = "reports"
"""Routing key of heartbeats, which have a light queue of their own: a thousand of them must not keep one answer
waiting, nor the broker's disk busy."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """CloudEvents 1.0 attributes, our extension attributes, and the JSON body as bytes."""

    id: str
    type: str
    source: str
    time: datetime
    body: bytes
    subject: str = ""
    project_id: str = ""
    request_id: str = ""
    operation_id: str = ""
    traceparent: str = ""
    command_id: str = ""
    """On a command and on its answer: which order of which operation."""
    position: int | None = None
    """On an event: its number in the log, without gaps. On a command: it grows from one order to the next, so that an
    agent knows an order that was overtaken by a later one about the same thing."""


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """An envelope and where it goes."""

    exchange: str
    key: str
    envelope: Envelope


def seal(message: Message, source: str, *, command_id: str = "", **attributes: Any) -> Envelope:
    """Put `message` into an envelope with the current context; `attributes` override parts of it."""
    context = current()
    return Envelope(
        id=new_id(),
        type=message.TYPE,
        source=source,
        time=clock.now(),
        body=encode(message),
        subject=message.subject,
        project_id=attributes.get("project_id", context.project_id),
        request_id=attributes.get("request_id", context.request_id),
        operation_id=attributes.get("operation_id", context.operation_id),
        traceparent=context.traceparent,
        command_id=command_id,
    )

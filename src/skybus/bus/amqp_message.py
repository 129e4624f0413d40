"""Our messages as AMQP carries them: CloudEvents in binary mode, attributes as `cloudEvents:` headers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiormq import spec
from aiormq.abc import DeliveredMessage

from skybus.bus.envelope import Envelope
from skybus.bus.transport import Delivery

TRANSIENT, PERSISTENT = 1, 2
OPTIONAL = {
    "cloudEvents:subject": "subject",
    "cloudEvents:projectid": "project_id",
    "cloudEvents:requestid": "request_id",
    "cloudEvents:operationid": "operation_id",
    "cloudEvents:traceparent": "traceparent",
    "cloudEvents:commandid": "command_id",
    "cloudEvents:position": "position",
}
"""Headers that are left out where there is nothing to say, and the attribute of the envelope that each holds."""


def properties_of(e: Envelope, user: str, *, persistent: bool = True) -> spec.Basic.Properties:
    """What goes with the body of `e`, published by the account `user`; on disk when it is to outlive the broker."""
    headers: dict[str, Any] = {
        "cloudEvents:specversion": "1.0",
        "cloudEvents:id": e.id,
        "cloudEvents:type": e.type,
        "cloudEvents:source": e.source,
        "cloudEvents:time": e.time.astimezone(UTC).isoformat(timespec="microseconds"),
    }
    for header, attribute in OPTIONAL.items():
        value = getattr(e, attribute)
        if value not in ("", None):
            headers[header] = value
    return spec.Basic.Properties(
        headers=headers,
        content_type="application/json",
        delivery_mode=PERSISTENT if persistent else TRANSIENT,
        message_id=e.id,
        message_type=e.type,
        user_id=user,
    )


def delivery_of(message: DeliveredMessage, queue: str) -> Delivery:
    """A message that arrived from `queue`. What a header lacks is empty: judging that is for whoever handles it."""
    properties = message.header.properties
    headers: dict[str, Any] = properties.headers or {}
    death: Any = headers.get("x-death")
    first = death[0] if isinstance(death, list) and death else {}
    return Delivery(
        envelope=_envelope(headers, properties.message_id, message.body),
        queue=queue,
        deliveries=int(str(headers.get("x-delivery-count") or 0)),
        user=properties.user_id or "",
        died_in=str(first.get("queue", "")),
        died_of=str(first.get("reason", "")),
        exchange=str(first.get("exchange", "") or message.exchange or ""),
        key=str((first.get("routing-keys") or [message.routing_key])[0] or ""),
    )


def _envelope(headers: dict[str, Any], message_id: str | None, body: bytes) -> Envelope:
    def text(name: str) -> str:
        return str(headers.get(f"cloudEvents:{name}") or "")

    position: Any = headers.get("cloudEvents:position")
    try:
        moment = datetime.fromisoformat(text("time"))
    except ValueError:
        moment = datetime.now(UTC)
    return Envelope(
        id=text("id") or str(message_id or ""),
        type=text("type"),
        source=text("source"),
        time=moment,
        body=body,
        subject=text("subject"),
        project_id=text("projectid"),
        request_id=text("requestid"),
        operation_id=text("operationid"),
        traceparent=text("traceparent"),
        command_id=text("commandid"),
        position=None if position is None else int(position),
    )

"""The contract of the bus as files: a JSON Schema for each message type under schemas/events, and AsyncAPI over them.

The schemas are written from the message classes by `skybus schemas`, a test compares the two, and `Checked` holds what
is really sent and received against the files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import fastjsonschema
import msgspec

import skybus.messages
from skybus.bus.envelope import Envelope, Post
from skybus.bus.message import TYPES, Command, Event, Message
from skybus.bus.transport import BusError, Consumer, Delivery, Queue, Receive, Settlement, Transport

FOLDER = Path(__file__).resolve().parents[3] / "schemas" / "events"


def load_all() -> dict[str, type[Message]]:
    """Every message type there is."""
    for module in iter_modules(skybus.messages.__path__):
        import_module(f"skybus.messages.{module.name}")
    return {name: kind for name, kind in sorted(TYPES.items()) if kind.__module__.startswith("skybus.")}


def path_of(type_name: str) -> Path:
    """`skybus.compute.server.created.v1` is described in `compute/server-created.json`."""
    _, service, *rest = type_name.split(".")
    version = rest.pop()
    suffix = "" if version == "v1" else f"-{version}"
    return FOLDER / service / f"{'-'.join(rest)}{suffix}.json"


def document_of(kind: type[Message]) -> dict[str, Any]:
    """The JSON Schema of a message's body."""
    _, components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    own = components.pop(kind.__name__)
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": kind.TYPE,
        **{key: value for key, value in own.items() if key != "title"},
        "title": kind.TYPE,
    }
    if components:
        document["$defs"] = dict(sorted(components.items()))
    return document


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI document over all of them."""
    messages: dict[str, Any] = {}
    for name, kind in load_all().items():
        file = path_of(name).relative_to(FOLDER)
        messages[name] = {
            "name": name,
            "title": (kind.__doc__ or "").strip().split("\n")[0],
            "contentType": "application/json",
            "payload": {"$ref": f"./{file}"},
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Skybus messages",
            "version": "1.0.0",
            "description": "Every event, command, answer and report. Envelopes are CloudEvents 1.0 in binary mode.",
        },
        "channels": {
            "events": _channel("skybus.events", "topic", [n for n in messages if _is(n, Event)]),
            "commands": _channel("skybus.commands", "direct", [n for n in messages if _is(n, Command)]),
            "answers": _channel(
                "skybus.answers", "direct", [n for n in messages if not _is(n, Event) and not _is(n, Command)]
            ),
        },
        "components": {"messages": messages},
    }


def _is(name: str, kind: type[Message]) -> bool:
    return issubclass(TYPES[name], kind)


def _channel(exchange: str, kind: str, names: list[str]) -> dict[str, Any]:
    return {
        "address": exchange,
        "bindings": {"amqp": {"is": "routingKey", "exchange": {"name": exchange, "type": kind, "durable": True}}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
    }


class ContractBroken(BusError):
    """A message is not what its schema says."""


@cache
def _validator(type_name: str) -> Callable[[Any], Any]:
    file = path_of(type_name)
    if not file.is_file():
        raise ContractBroken(f"{type_name} has no schema; run `skybus schemas`")
    schema = msgspec.json.decode(file.read_bytes())
    # fastjsonschema reads draft 7 at most; what we use of 2020-12 differs in the name of one keyword.
    text = msgspec.json.encode({**schema, "$schema": "http://json-schema.org/draft-07/schema#", "$id": ""}).decode()
    validator: Callable[[Any], Any] = fastjsonschema.compile(msgspec.json.decode(text), formats={"date-time": r".*"})
    return validator


def check(envelope: Envelope) -> None:
    """Raises ContractBroken unless the body is what the schema of its type says."""
    try:
        _validator(envelope.type)(msgspec.json.decode(envelope.body))
    except fastjsonschema.JsonSchemaException as error:
        raise ContractBroken(f"{envelope.type}: {error}") from error


class Checked:
    """A transport that holds everything it carries against the schemas. For tests."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner
        self.open, self.close, self.declare, self.depth = inner.open, inner.close, inner.declare, inner.depth

    @property
    def connected(self) -> bool:
        return self.inner.connected

    async def publish(self, posts: Sequence[Post]) -> None:
        for post in posts:
            check(post.envelope)
        await self.inner.publish(posts)

    async def consume(self, queue: Queue, receive: Receive, *, prefetch: int) -> Consumer:
        async def checked(delivery: Delivery) -> Settlement:
            if delivery.envelope.type in TYPES and not delivery.died_in:
                try:
                    check(delivery.envelope)
                except ContractBroken:
                    return Settlement.DEAD
            return await receive(delivery)

        return await self.inner.consume(queue, checked, prefetch=prefetch)


__all__ = ["Checked", "ContractBroken", "asyncapi", "check", "document_of", "load_all", "path_of"]

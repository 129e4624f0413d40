"""The kinds of message that travel on the bus, and how a type name finds its class.

Every message type is one frozen struct with a `TYPE`; `skybus.messages` holds them all. What a message may contain is
what its class says: decoding checks names and types, and the JSON Schema under `schemas/events/` is generated from the
same class.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal, TypeVar

import msgspec

TYPES: dict[str, type[Message]] = {}
"""Every message type that has been imported, by its type name."""
HIDDEN = "***"
"""What is shown of a secret."""


class Discreet(msgspec.Struct, frozen=True, kw_only=True):
    """A struct that hides the fields named in `SECRETS` wherever it is printed: logs, exceptions, test reports.

    What goes over the wire is whole; only `repr` and `str` hide.
    """

    SECRETS: ClassVar[tuple[str, ...]] = ()

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, HIDDEN if name in self.SECRETS else getattr(self, name)) for name in self.__struct_fields__]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({fields})"


class Message(Discreet, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Ids and facts, never a whole row.

    `TYPE` names the message and carries its version; a type once published keeps its meaning. `SUBJECT` is the field
    that holds the id of the resource the message is about. Unknown fields are ignored, so that an agent one release
    older understands a newer conductor.
    """

    TYPE: ClassVar[str] = ""
    SUBJECT: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__dict__.get("TYPE"):
            if cls.TYPE in TYPES:
                raise TypeError(f"two message classes are called {cls.TYPE}")
            TYPES[cls.TYPE] = cls

    @property
    def subject(self) -> str:
        """The id of the resource this message is about, or an empty string."""
        return str(getattr(self, self.SUBJECT)) if self.SUBJECT else ""


class Event(Message, frozen=True, kw_only=True):
    """A fact in the past tense, published to whoever listens."""


class Answer(Message, frozen=True, kw_only=True):
    """What is true after a command was carried out."""


class Failed(Answer, frozen=True, kw_only=True):
    """The command was not carried out, and nothing of it is left behind that its undo would not remove."""

    TYPE: ClassVar[str] = "skybus.bus.answer.failed.v1"

    code: str
    """Dotted and stable, for programs: `compute.image-refused`."""
    reason: str
    """For people, in the caller's words."""
    retry: bool = False
    """Whether the same command could succeed later."""
    details: dict[str, Any] = {}


class Command(Message, frozen=True, kw_only=True):
    """An order to one kind of worker or to one host's agent; `ANSWER` is what comes back when it was carried out."""

    ANSWER: ClassVar[type[Answer]] = Answer


class Report(Message, frozen=True, kw_only=True):
    """What a host noticed by itself."""


AgentKind = Literal["compute", "network", "volume"]


class AgentAlive(Report, frozen=True, kw_only=True):
    """A heartbeat that says no more than that the agent is there: the whole picture of its host comes when it has
    changed, and from time to time."""

    TYPE: ClassVar[str] = "skybus.host.report.alive.v1"
    SUBJECT: ClassVar[str] = "host"
    kind: AgentKind
    host: str
    taken_at: datetime
    unchanged: bool
    """Whether the host was then as the agent's last whole report says."""


class ReportAll(Command, frozen=True, kw_only=True):
    """Report everything now: the conductor does not know the host. Not answered but by the report."""

    TYPE: ClassVar[str] = "skybus.host.command.report-all.v1"


M = TypeVar("M", bound=Message)

_decoders: dict[type[Message], msgspec.json.Decoder[Any]] = {}
_encoder = msgspec.json.Encoder()


def encode(message: Message) -> bytes:
    """The JSON body of `message`."""
    return _encoder.encode(message)


def decode(kind: type[M], body: bytes) -> M:
    """The message of class `kind` in `body`. Raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    message: M = decoder.decode(body)
    return message

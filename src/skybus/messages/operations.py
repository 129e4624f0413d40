"""Operations: what the gateway tells the conductor about them, and what is announced when one ends."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from skybus.bus.message import Command, Event


class BeginOperation(Command, frozen=True, kw_only=True):
    """An operation was accepted; the conductor takes its first step."""

    TYPE: ClassVar[str] = "skybus.saga.command.begin-operation.v1"
    SUBJECT: ClassVar[str] = "operation_id"
    operation_id: str


class InterruptOperation(Command, frozen=True, kw_only=True):
    """Another operation waits for this one's resource; the conductor unwinds this one."""

    TYPE: ClassVar[str] = "skybus.saga.command.interrupt-operation.v1"
    SUBJECT: ClassVar[str] = "operation_id"
    operation_id: str


class OperationEnded(Event, frozen=True, kw_only=True):
    """An operation came to its end: done, or cleanly undone, or parked as failed because an undo would not work."""

    TYPE: ClassVar[str] = "skybus.saga.operation.ended.v1"
    SUBJECT: ClassVar[str] = "operation_id"
    operation_id: str
    kind: str
    resource_type: str
    resource_id: str
    state: Literal["done", "undone", "failed"]
    error: dict[str, Any] | None = None


class OperationRetried(Event, frozen=True, kw_only=True):
    """An operator has the undo of an operation that was parked as failed tried again."""

    TYPE: ClassVar[str] = "skybus.saga.operation.retried.v1"
    SUBJECT: ClassVar[str] = "operation_id"
    operation_id: str
    kind: str


class OperationAcknowledged(Event, frozen=True, kw_only=True):
    """An operator has seen to what an operation left that was parked as failed, and says why that is enough."""

    TYPE: ClassVar[str] = "skybus.saga.operation.acknowledged.v1"
    SUBJECT: ClassVar[str] = "operation_id"
    operation_id: str
    kind: str
    reason: str


class MessageDiscarded(Event, frozen=True, kw_only=True):
    """An operator does not want a dead letter sent again, and says why."""

    TYPE: ClassVar[str] = "skybus.bus.message.discarded.v1"
    SUBJECT: ClassVar[str] = "message_id"
    message_id: str
    message_type: str
    reason: str


class RepairMade(Event, frozen=True, kw_only=True):
    """`skybus doctor --repair` mended something: what disagreed with what, and what was done about it."""

    TYPE: ClassVar[str] = "skybus.saga.repair.made.v1"
    SUBJECT: ClassVar[str] = "what"
    check: str
    what: str
    says: str
    repair: str


class MessageDied(Event, frozen=True, kw_only=True):
    """Nobody could handle a message; it waits among the dead letters."""

    TYPE: ClassVar[str] = "skybus.bus.message.died.v1"
    SUBJECT: ClassVar[str] = "message_id"
    message_id: str
    message_type: str
    queue: str
    reason: str

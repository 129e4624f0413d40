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


class MessageDied(Event, frozen=True, kw_only=True):
    """Nobody could handle a message; it waits among the dead letters."""

    TYPE: ClassVar[str] = "skybus.bus.message.died.v1"
    SUBJECT: ClassVar[str] = "message_id"
    message_id: str
    message_type: str
    queue: str
    reason: str

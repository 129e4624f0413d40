"""How a saga is declared: a list of steps, each with its way back.

A step gives orders to workers, all at the same time, and changes rows when every answer is in. Its undo does the same
backwards and is content to find nothing, for the step may have died half-way. What a step needs it reads in the
conductor's transaction; what later steps need it leaves in the operation's memo.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from skybus.bus.message import Answer, Command
from skybus.saga.operations import Operation
from skybus.store import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A command and the worker it goes to. `key` tells the orders of one step apart."""

    to: str
    command: Command
    key: str = ""


Orders = Callable[[Tx, Operation], Awaitable[Sequence[Order]]]
"""The orders of a step; none when there is nothing to ask. May run again when a step is asked again."""
Apply = Callable[[Tx, Operation, Mapping[str, Answer]], Awaitable[None]]
"""What the answers, by key, change. Raises CloudError to unwind the operation."""
Settle = Callable[[Tx, Operation], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. `seconds` is the deadline of one attempt; after `attempts` of them the operation unwinds."""

    name: str
    do: Orders | None = None
    apply: Apply | None = None
    undo: Orders | None = None
    undone: Apply | None = None
    seconds: float = 30.0
    attempts: int = 3
    undo_attempts: int = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga:
    """The steps of one kind of operation. `unwound` tells the resource when all has been undone."""

    kind: str
    steps: tuple[Step, ...]
    unwound: Settle | None = None

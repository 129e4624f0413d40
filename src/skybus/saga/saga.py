"""How a saga is declared: a list of steps, each with its way back.

A step gives orders to workers, all at the same time, and changes rows when every answer is in. Its undo does the same
backwards and is content to find nothing, for the step may have died half-way. What a step needs it reads in the
conductor's transaction; what later steps need it leaves in the operation's memo.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from skybus.bus.context import bound
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
OrdersOfAll = Callable[[Tx, Sequence[Operation]], Awaitable[Sequence[Sequence[Order]]]]
"""The orders of a step for many operations at once, in the order of the operations."""
Answered = Sequence[tuple[Operation, Mapping[str, Answer]]]
"""Operations with the answers to their orders, by key."""
ApplyAll = Callable[[Tx, Answered], Awaitable[None]]
"""What the answers of many operations change. Publishes under `bus.context.on_behalf_of` each one's resource."""
Settle = Callable[[Tx, Operation], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. `seconds` is the deadline of one attempt; after `attempts` of them the operation unwinds.

    A step that many operations take every second says `do_all` and `apply_all` in place of `do` and `apply`: what
    happens to many of them at once is then done with as few statements as for one.
    """

    name: str
    do: Orders | None = None
    do_all: OrdersOfAll | None = None
    apply: Apply | None = None
    apply_all: ApplyAll | None = None
    undo: Orders | None = None
    undone: Apply | None = None
    seconds: float = 30.0
    attempts: int = 3
    undo_attempts: int = 12

    async def orders(self, tx: Tx, ops: Sequence[Operation]) -> Sequence[Sequence[Order]]:
        """The orders of each operation."""
        if self.do_all is not None:
            return await self.do_all(tx, ops)
        orders: list[Sequence[Order]] = []
        for op in ops:
            with bound(op.context):
                orders.append([] if self.do is None else await self.do(tx, op))
        return orders

    async def applied(self, tx: Tx, answered: Answered) -> None:
        """Change what the answers of each operation change."""
        if self.apply_all is not None:
            await self.apply_all(tx, answered)
        elif self.apply is not None:
            for op, answers in answered:
                with bound(op.context):
                    await self.apply(tx, op, answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga:
    """The steps of one kind of operation. `unwound` tells the resource when all has been undone."""

    kind: str
    steps: tuple[Step, ...]
    unwound: Settle | None = None

"""Mistakes to be found: each breaks the product at one place while a block runs. No seed is worth more than these."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from skybus.bus.message import Answer, Failed
from skybus.bus.runner import Runner
from skybus.bus.transport import Delivery, Settlement
from skybus.errors import CommandRefused
from skybus.messages.compute import DestroyGuest, GuestDestroyed
from skybus.placement import claims
from skybus.saga import turns
from skybus.saga.operations import Operation
from skybus.store import Tx, relay
from skybus_compute.agent import ComputeAgent


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A mistake: its name, what is wrong, and what stands in the place of what, as `module:attribute`."""

    name: str
    wrong: str
    changes: Mapping[str, Any]

    @contextmanager
    def growing(self) -> Iterator[None]:
        """Have the mistake in the product. Raises AttributeError when there is nothing in its place to be wrong."""
        before = []
        try:
            for path, wrong in self.changes.items():
                owner, name = _owner(path)
                before.append((owner, name, getattr(owner, name)))
                setattr(owner, name, wrong)
            yield
        finally:
            for owner, name, right in reversed(before):
                setattr(owner, name, right)


def _owner(path: str) -> tuple[Any, str]:
    module, _, names = path.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, name = names.split(".")
    for one in outer:
        owner = getattr(owner, one)
    return owner, name


def _changed(text: str, old: str, new: str) -> str:
    if old not in text:
        raise AttributeError(f"there is no {old!r} to plant a mistake in")
    return text.replace(old, new)


async def _nothing(*_: Any, **__: Any) -> None:
    """What was forgotten."""


async def _no_networks(*_: Any) -> list[str]:
    return []


async def _no_orders(tx: Tx, op: Operation) -> Sequence[Any]:
    return []


def _answered(command_id: str, answer: Answer, source: str) -> Any:
    def turn(op: Operation, saga: Any) -> Any:
        awaited = op.awaiting.get(command_id) or next(iter(op.awaiting.values()), None)
        if op.state not in ("running", "undoing") or awaited is None:
            return turns.Next.NOTHING
        if isinstance(answer, Failed):
            return turns.failed(op, saga, turns.problem_of(answer))
        awaited.answer_type, awaited.answer = answer.TYPE, msgspec.to_builtins(answer)
        return turns.Next.KEEP if any(one.answer_type is None for one in op.awaiting.values()) else turns.Next.OVER

    return turn


_receive = Runner.receive
_background: set[asyncio.Task[Any]] = set()


async def _acknowledged_first(self: Runner, delivery: Delivery) -> Settlement:
    task = asyncio.create_task(_receive(self, delivery))
    _background.add(task)
    task.add_done_callback(_background.discard)
    return Settlement.DONE


@asynccontextmanager
async def _owed_afterwards(self: Any) -> AsyncIterator[Tx]:
    async with self._borrowed() as conn:
        tx = Tx(conn, self.source)
        async with conn.transaction():
            yield tx
        async with conn.transaction():
            owed = await tx.owe(orphan=self.on_owed is None)
        if owed and self.on_owed is not None:
            self.on_owed(owed)


async def _forgotten_first(self: Any, owed: Sequence[Any]) -> None:
    self._sent += [id_ for id_, _ in owed]
    self._wake["sent"].set()
    await self._send([post for _, post in owed])


_lock = Tx.lock


async def _no_lock_for_quotas(self: Tx, *names: str) -> None:
    if names[0] != "quota":
        await _lock(self, *names)


_destroy = ComputeAgent.destroy


async def _destroyed_once(self: ComputeAgent, order: DestroyGuest) -> GuestDestroyed:
    if await self.hypervisor.find(order.server_id) is None:
        raise CommandRefused("there is no such guest", code="compute.no-guest")
    return await _destroy(self, order)


async def _numbered_in_two(self: Any) -> None:
    sql = _changed(
        relay.NUMBER_OWN, "SET position = position + (SELECT count(*) FROM fresh)", "SET position = position"
    )
    sql = _changed(sql, "RETURNING position - (SELECT count(*) FROM fresh) AS base", "RETURNING $2::bigint AS base")
    while self._events:
        owed, self._events = self._events[: relay.BATCH], self._events[relay.BATCH :]
        head = "UPDATE bus.event_head SET position = position + $1 RETURNING position - $1"
        base = await self.store.fetchval(head, len(owed))
        rows = await self.store.fetch(sql, [id_ for id_, _ in owed], base)
        positions = {row["id"]: row["position"] for row in rows}
        await self._publish([(id_, relay._placed(post, positions[id_])) for id_, post in owed if id_ in positions])


def planted() -> Sequence[Planted]:
    """All mistakes."""
    named: Sequence[tuple[str, str, Callable[[], Mapping[str, Any]]]] = (
        (
            "lost-undo",
            "an attachment that is given up leaves its disk with the guest",
            lambda: {"skybus_conductor.sagas.volume_attach:unplug": _no_orders},
        ),
        (
            "claim-kept",
            "a claim that is released still counts as used",
            lambda: {
                "skybus.placement.claims:RELEASE": _changed(
                    claims.RELEASE, "SET used = i.used - ", "SET used = i.used - 0 * "
                )
            },
        ),
        (
            "port-kept",
            "the ports of a server that is given up stay its own",
            lambda: {"skybus_conductor.sagas.server_create:ports_release": _no_networks},
        ),
        (
            "any-answer",
            "an answer that comes twice or late is taken for the one that is awaited",
            lambda: {"skybus.saga.engine:answered": _answered},
        ),
        (
            "early-ack",
            "a message is acknowledged before its effect is durable",
            lambda: {"skybus.bus.runner:Runner.receive": _acknowledged_first},
        ),
        (
            "late-outbox",
            "messages are written into the outbox after the commit that they tell of",
            lambda: {"skybus.store.store:Store.transaction": _owed_afterwards},
        ),
        (
            "early-delete",
            "a message is deleted from the outbox before the broker has it",
            lambda: {"skybus.store.relay:Relay._publish": _forgotten_first},
        ),
        (
            "split-numbers",
            "the head of the event log moves on in another transaction than its events",
            lambda: {"skybus.store.relay:Relay._send_events": _numbered_in_two},
        ),
        (
            "unlocked-quota",
            "quota is counted without the project's lock",
            lambda: {"skybus.store.store:Tx.lock": _no_lock_for_quotas},
        ),
        (
            "once-only",
            "an agent refuses to destroy what it has destroyed before",
            lambda: {"skybus_compute.agent:ComputeAgent.destroy": _destroyed_once},
        ),
        (
            "never-begun",
            "an operation that waited for another one's end is not begun",
            lambda: {"skybus.saga.engine:operations_next": _nothing},
        ),
        (
            "oversold",
            "a claim is taken without a look at what is left",
            lambda: {
                "skybus.placement.claims:TAKE": _changed(
                    claims.TAKE, "WHERE i.host IS NULL OR i.used + n.amount >", "WHERE i.host IS NULL OR 0 >"
                )
            },
        ),
    )
    return [Planted(name=name, wrong=wrong, changes=changes()) for name, wrong, changes in named]

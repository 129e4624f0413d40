"""The conductor on the bus: it begins operations, takes in answers and reports, sweeps what is overdue, and collects
the dead letters. Any number of conductors share the queue; a row's lock decides who moves an operation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import structlog

from skybus.bus.envelope import ANSWERS, CONDUCTOR, DEAD, REPORTS
from skybus.bus.message import AgentAlive, Answer, Command, Message, Report
from skybus.bus.runner import Runner
from skybus.bus.together import Together
from skybus.bus.transport import BusError, Delivery, Queue, Settlement, Transport
from skybus.errors import CloudError, Outage
from skybus.messages.operations import BeginOperation, InterruptOperation
from skybus.saga.engine import Engine
from skybus.store import Store
from skybus_conductor.cloud import Cloud
from skybus_conductor.dead_letters import dead_letter_insert
from skybus_conductor.reports import ReportHandler, agents_alive, reports
from skybus_conductor.sagas import sagas
from skybus_conductor.sweeps import SWEEPS, Sweep, host_pictures

log = structlog.get_logger()

INBOX = Queue(name="skybus.answers", bindings=((ANSWERS, CONDUCTOR),))
REPORTED = Queue(name="skybus.reports", bindings=((ANSWERS, REPORTS),), light=True)
"""Agents of the release before sent their reports to the inbox: there they are understood as well."""
REPORTS_IN_HAND = 64
PACE_SECONDS = 0.2
"""Between two transactions that take in heartbeats."""
REPORTS_AT_ONCE = 3
"""Whole reports that are taken in, at most: when all hosts report at once, answers still find a connection to the
database."""
DEAD_LETTERS = Queue(name="skybus.dead", bindings=((DEAD, ""),))
DUE_SECONDS = 0.25
"""Between two looks for operations past their deadline."""


class Conductor:
    """One conductor. `user` is the broker account that the control plane's own processes share."""

    def __init__(
        self, store: Store, transport: Transport, cloud: Cloud, *, user: str, sweeps: Sequence[Sweep] = SWEEPS
    ) -> None:
        self.store = store
        self.sweeps = (*sweeps, host_pictures(cloud))
        self.user = user
        self.engine = Engine(store, sagas(cloud))
        self.reports: Mapping[type[Report], ReportHandler] = reports(cloud)
        self._alive = Together(self._take_in, most=REPORTS_IN_HAND, pace_seconds=PACE_SECONDS)
        self._few = asyncio.Semaphore(REPORTS_AT_ONCE)
        self._inbox = Runner(transport, CONDUCTOR, self._handle)
        self._transport = transport
        self._dead: Any = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *, prefetch: int) -> None:
        """Take answers and reports, and begin to sweep."""
        await self._inbox.consume(INBOX, prefetch=prefetch)
        await self._transport.declare([REPORTED])  # a cloud that was made by an older release has no such queue
        await self._inbox.consume(REPORTED, prefetch=REPORTS_IN_HAND)
        self._dead = await self._transport.consume(DEAD_LETTERS, self._collect, prefetch=16)
        self._tasks = [asyncio.create_task(self._sweep_operations())]
        self._tasks += [asyncio.create_task(sweep.run(self.store)) for sweep in self.sweeps]

    async def stop(self, grace_seconds: float) -> None:
        """Finish the answers in hand."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._inbox.stop(grace_seconds)
        if self._dead is not None:
            await self._dead.stop(grace_seconds)

    async def _handle(self, delivery: Delivery, message: Message) -> None:
        self._believe(delivery, message)
        envelope = delivery.envelope
        if isinstance(message, BeginOperation):
            await self.engine.begin(message.operation_id)
        elif isinstance(message, InterruptOperation):
            await self.engine.interrupt(message.operation_id)
        elif isinstance(message, Answer) and not envelope.operation_id:
            log.debug("answer_to_nobody", source=envelope.source)
        elif isinstance(message, Answer):
            await self.engine.answered(envelope.operation_id, envelope.command_id, message, source=envelope.source)
        elif isinstance(message, AgentAlive):
            await self._alive(message)
        elif isinstance(message, Report) and type(message) in self.reports:
            async with self._few, self.store.transaction() as tx:
                await self.reports[type(message)](tx, message)
        else:
            raise CloudError(f"the conductor has no use for a {message.TYPE}", code="bus.not-for-us")

    def _believe(self, delivery: Delivery, message: Message) -> None:
        """A host speaks for itself alone. The broker has checked the account's name; here the message is held to it."""
        source, user = delivery.envelope.source, delivery.user
        if user not in (source, self.user):
            raise CloudError(f"the account {user!r} speaks as {source!r}", code="bus.impostor")
        if isinstance(message, Command) and user != self.user:
            raise CloudError(f"{source!r} gives orders to the conductor", code="bus.impostor")
        if isinstance(message, Report):
            kind, _, name = source.partition(".")
            service = message.kind if isinstance(message, AgentAlive) else message.TYPE.split(".")[1]
            host = getattr(message, "host", name)
            if (kind, name) != (service, host):
                raise CloudError(f"{source!r} reports as {service} of the host {host!r}", code="bus.impostor")

    async def _take_in(self, beats: Sequence[AgentAlive]) -> None:
        async with self.store.transaction() as tx:
            await agents_alive(tx, beats)

    async def _collect(self, delivery: Delivery) -> Settlement:
        """Keep a dead letter where it can be listed and replayed."""
        try:
            async with self.store.transaction() as tx:
                await dead_letter_insert(tx, delivery)
        except (Outage, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("dead_letter_waits", reason=str(error))
            await asyncio.sleep(1)
            return Settlement.RETRY
        return Settlement.DONE

    async def _sweep_operations(self) -> None:
        while True:
            await asyncio.sleep(DUE_SECONDS)
            try:
                await self.engine.sweep()
            except (CloudError, BusError, OSError, TimeoutError, asyncpg.PostgresError) as error:
                log.warning("sweep_failed", reason=f"{type(error).__name__}: {error}")
            except Exception:
                log.exception("sweep_crashed")

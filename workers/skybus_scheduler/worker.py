"""The scheduler on the bus: it keeps the host tables, chooses, claims and answers, all but the choice in one
transaction. Two schedulers can never oversell: the claim is conditional in the database."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from skybus.bus.envelope import EVENTS, Envelope, Post
from skybus.bus.message import Failed, Message, decode
from skybus.bus.runner import Runner
from skybus.bus.transport import Delivery, Queue, Transport, command_queue
from skybus.errors import CloudError
from skybus.ids import new_hex_id
from skybus.messages.placement import Place, Placed, ProviderChanged
from skybus.placement.claims import claim_held, claim_take
from skybus.placement.inventory import provider_picture, provider_pictures
from skybus.saga.operations import operation_awaits
from skybus.store import Store
from skybus_scheduler.host_table import HostTable
from skybus_scheduler.place import NoFit, Wish, place

log = structlog.get_logger()

ADDRESS = "scheduler"
NO_HOST = "placement.no-valid-host"
CLAIM_ATTEMPTS = 8
"""Claims that are lost to somebody quicker before the request is refused for now."""


class Scheduler:
    """One scheduler. Every process has its own picture; the claims are shared."""

    def __init__(self, store: Store, transport: Transport) -> None:
        self.store = store
        self.tables: dict[str, HostTable] = {}
        self._commands = Runner(transport, ADDRESS, self._place)
        self._pictures = Runner(transport, ADDRESS, self._learn)

    async def start(self, *, prefetch: int) -> None:
        """Listen to changes first, then load what is there: nothing falls between."""
        name = f"skybus.scheduler.{new_hex_id()}"
        await self._pictures.consume(
            Queue(name=name, bindings=((EVENTS, ProviderChanged.TYPE),), private=True), prefetch=256
        )
        await self.reload()
        await self._commands.consume(command_queue(ADDRESS), prefetch=prefetch)

    async def stop(self, grace_seconds: float) -> None:
        """Finish the placements in hand."""
        await self._commands.stop(grace_seconds)
        await self._pictures.stop(0)

    async def reload(self) -> None:
        """Read every host from the database."""
        for picture in await provider_pictures(self.store):
            self.learn(picture)

    def learn(self, picture: ProviderChanged) -> None:
        """Take in what a host is like now."""
        self.tables.setdefault(picture.kind, HostTable()).learn(picture)

    async def _learn(self, delivery: Delivery, message: Message) -> None:
        if isinstance(message, ProviderChanged):
            self.learn(message)

    async def _place(self, delivery: Delivery, message: Message) -> None:
        if not isinstance(message, Place):
            raise CloudError(f"the scheduler has no use for a {message.TYPE}", code="bus.not-for-us")
        command_id = delivery.envelope.command_id
        wish = Wish(
            resources=message.resources,
            availability_zone=message.availability_zone,
            avoid=frozenset(message.avoid),
        )
        fresh = False
        for _ in range(CLAIM_ATTEMPTS):
            table = self.tables.setdefault(message.kind, HostTable())
            choice = place(table, wish)
            if isinstance(choice, NoFit):
                if fresh:
                    await self._refuse(command_id, message, choice)
                    return
                # The picture may be old: say no only to what the database says.
                await self.reload()
                fresh = True
            elif await self._claim(delivery.envelope, message, choice):
                return
            else:
                picture = await provider_picture(self.store, message.kind, choice)
                if picture is not None:
                    self.learn(picture)
        async with self.store.transaction() as tx:
            reason = f"{CLAIM_ATTEMPTS} claims were lost to quicker ones"
            tx.tell_conductor(Failed(code="placement.contended", reason=reason, retry=True), command_id=command_id)

    async def _claim(self, command: Envelope, order: Place, host: str) -> bool:
        """Claim and answer in one transaction; False when the host is full after all."""
        async with self.store.transaction() as tx:
            if not await operation_awaits(tx, command.operation_id, command.command_id):
                log.info("placement_not_awaited", consumer=order.consumer_id)
                return True
            held = await claim_held(tx, order.consumer_id)
            if held is None:
                taken = await claim_take(
                    tx,
                    consumer_id=order.consumer_id,
                    project_id=order.project_id,
                    kind=order.kind,
                    host=host,
                    resources=order.resources,
                )
                if not taken:
                    return False
            answer = Placed(consumer_id=order.consumer_id, host=held[1] if held else host)
            tx.tell_conductor(answer, command_id=command.command_id)
            self._learn_at_once(tx.posts)
        return True

    def _learn_at_once(self, posts: Sequence[Post]) -> None:
        """The picture that our own claim leaves, ahead of its event: the next choice must know."""
        for post in posts:
            if post.envelope.type == ProviderChanged.TYPE:
                self.learn(decode(ProviderChanged, post.envelope.body))

    async def _refuse(self, command_id: str, order: Place, why: NoFit) -> None:
        log.warning("no_valid_host", consumer=order.consumer_id, **why.details())
        async with self.store.transaction() as tx:
            held = await claim_held(tx, order.consumer_id)
            if held is not None:
                tx.tell_conductor(Placed(consumer_id=order.consumer_id, host=held[1]), command_id=command_id)
                return
            refusal = Failed(code=NO_HOST, reason=why.sentence(), details=why.details())
            tx.tell_conductor(refusal, command_id=command_id)

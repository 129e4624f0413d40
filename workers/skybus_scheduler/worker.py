"""The scheduler on the bus: it keeps the host tables, chooses, claims and answers, all but the choice in one
transaction. Two schedulers can never oversell: the claim is conditional in the database."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from skybus.bus.context import bound
from skybus.bus.envelope import EVENTS, Envelope, Post
from skybus.bus.message import Failed, Message, decode
from skybus.bus.runner import Runner, context_of
from skybus.bus.together import Together
from skybus.bus.transport import Delivery, Queue, Transport, command_queue
from skybus.errors import CloudError
from skybus.ids import new_hex_id
from skybus.messages.placement import Place, Placed, ProviderChanged
from skybus.placement.claims import Claim, claims_held, claims_take
from skybus.placement.inventory import provider_pictures
from skybus.placement.room import room_exists
from skybus.saga.operations import operations_await
from skybus.store import Store, Tx
from skybus_scheduler.host_table import HostTable
from skybus_scheduler.place import NoFit, Wish, place

log = structlog.get_logger()

ADDRESS = "scheduler"
NO_HOST = "placement.no-valid-host"
CLAIM_ATTEMPTS = 8
"""Claims that are lost to somebody quicker before the request is refused for now."""
MOST_TOGETHER = 32
"""Placements in one transaction: it holds their hosts' locks to its end."""
PACE_SECONDS = 0.02
"""Between two such transactions of a scheduler that is busy."""


class Scheduler:
    """One scheduler. Every process has its own picture; the claims are shared."""

    def __init__(self, store: Store, transport: Transport) -> None:
        self.store = store
        self.tables: dict[str, HostTable] = {}
        self._together = Together(self._place_all, most=MOST_TOGETHER, pace_seconds=PACE_SECONDS)
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

    async def reload(self, hosts: Sequence[tuple[str, str]] | None = None) -> None:
        """Read every (kind, host), or those given, from the database."""
        for picture in await provider_pictures(self.store, hosts):
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
        await self._together(_Wanted(delivery.envelope, message))

    async def _place_all(self, batch: Sequence[_Wanted]) -> None:
        """Choose for each, claim for all in one transaction; those that lost their claim choose again."""
        left = list(batch)
        for _ in range(CLAIM_ATTEMPTS):
            left = await self._round(left)
            if not left:
                return
        reason = f"{CLAIM_ATTEMPTS} claims were lost to quicker ones"
        await self._refuse([(one, Failed(code="placement.contended", reason=reason, retry=True)) for one in left])

    async def _round(self, batch: Sequence[_Wanted]) -> list[_Wanted]:
        """One choice for each, and its claim; answers those that are still without a host."""
        chosen: list[tuple[_Wanted, str]] = []
        nowhere: list[_Wanted] = []
        for one in batch:
            table = self.tables.setdefault(one.order.kind, HostTable())
            choice = place(table, one.wish)
            if isinstance(choice, str):
                # What is chosen for one is gone for the next.
                table.expect(choice, one.order.resources)
                chosen.append((one, choice))
            elif one.looked:
                await self._refuse([(one, _refusal(one.order, choice))])
            else:
                nowhere.append(one)
        lost = await self._claim(chosen) if chosen else []
        if lost:
            await self.reload([(one.order.kind, host) for one, host in lost])
        if nowhere:
            # The picture may be old: say no only to what the database says. It mostly agrees, and then is not read:
            # with ten thousand hosts that keeps everybody waiting for a tenth of a second.
            if await self._have_room(nowhere):
                await self.reload()
            for one in nowhere:
                one.looked = True
        return nowhere + [one for one, _ in lost]

    async def _have_room(self, batch: Sequence[_Wanted]) -> bool:
        """Whether the database knows a host for any of them."""
        different = {(one.order.kind, tuple(one.order.resources.items()), *one.where): one for one in batch}
        for one in different.values():
            order, avoid = one.order, sorted(one.wish.avoid)
            if await room_exists(self.store, order.kind, order.resources, zone=order.availability_zone, avoid=avoid):
                return True
        return False

    async def _claim(self, chosen: Sequence[tuple[_Wanted, str]]) -> list[tuple[_Wanted, str]]:
        """Claim and answer in one transaction; answers those whose host was full after all."""
        lost = []
        try:
            async with self.store.transaction() as tx:
                awaited = await operations_await(tx, [one.awaited for one, _ in chosen])
                held = await claims_held(tx, [one.consumer for one, _ in chosen])
                taken = await self._take(
                    tx, [(one, host) for one, host in chosen if one.awaited in awaited and one.consumer not in held]
                )
                for one, host in chosen:
                    if one.awaited not in awaited:
                        log.info("placement_not_awaited", consumer=one.consumer)
                    elif one.consumer in held or one.consumer in taken:
                        at = held[one.consumer][1] if one.consumer in held else host
                        one.answer(tx, Placed(consumer_id=one.consumer, host=at))
                    else:
                        lost.append((one, host))
        finally:
            # Now it is known, or will be read, what came of the choices.
            for one, host in chosen:
                self.tables[one.order.kind].expect(host, one.order.resources, undo=True)
        self._learn_at_once(tx.posts)
        return lost

    async def _take(self, tx: Tx, wanted: Sequence[tuple[_Wanted, str]]) -> set[str]:
        """Claim; answers the consumers that got their claim."""
        taken: set[str] = set()
        for kind in sorted({one.order.kind for one, _ in wanted}):
            taken |= await claims_take(tx, kind, [one.claim(host) for one, host in wanted if one.order.kind == kind])
        return taken

    def _learn_at_once(self, posts: Sequence[Post]) -> None:
        """The picture that our own claims leave, ahead of its event: the next choice must know."""
        for post in posts:
            if post.envelope.type == ProviderChanged.TYPE:
                self.learn(decode(ProviderChanged, post.envelope.body))

    async def _refuse(self, answers: Sequence[tuple[_Wanted, Failed]]) -> None:
        """Say no to those that hold nothing."""
        async with self.store.transaction() as tx:
            held = await claims_held(tx, [one.consumer for one, _ in answers])
            for one, refusal in answers:
                had = held.get(one.consumer)
                one.answer(tx, refusal if had is None else Placed(consumer_id=one.consumer, host=had[1]))


def _refusal(order: Place, why: NoFit) -> Failed:
    log.warning("no_valid_host", consumer=order.consumer_id, **why.details())
    return Failed(code=NO_HOST, reason=why.sentence(), details=why.details())


class _Wanted:
    """An order to place, and how far it came."""

    def __init__(self, command: Envelope, order: Place) -> None:
        self.command, self.order, self.consumer = command, order, order.consumer_id
        self.awaited = (command.operation_id, command.command_id)
        self.wish = Wish(
            resources=order.resources, availability_zone=order.availability_zone, avoid=frozenset(order.avoid)
        )
        self.where = (order.availability_zone, self.wish.avoid)
        self.looked = False
        """Whether the database was asked since."""

    def claim(self, host: str) -> Claim:
        """What it asks of `host`."""
        order = self.order
        return Claim(consumer_id=self.consumer, project_id=order.project_id, host=host, resources=order.resources)

    def answer(self, tx: Tx, message: Message) -> None:
        """Answer the order."""
        with bound(context_of(self.command)):
            tx.tell_conductor(message, command_id=self.command.command_id)

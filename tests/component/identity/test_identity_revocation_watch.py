"""What a gateway process believes when nobody tells it anything: neither the bus nor, for a while, the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from identity_cloud import ROUNDS, Cloud

from skybus.config import Database
from skybus.config import Gateway as GatewayConfig
from skybus.errors import Unauthorized, Unavailable
from skybus.identity import RULES, Identity, api
from skybus.store import Store
from support.cut_line import Line, line_to
from support.front import front

TRUST_SECONDS = 1.5


class Process:
    """A gateway process that hears no event; its line to the database can be cut."""

    def __init__(self, identity: Identity, line: Line) -> None:
        self.identity, self.line = identity, line

    async def believes(self, token: str) -> bool:
        """Whether the token is good there. Raises Unavailable when it cannot say."""
        try:
            await self.identity.tokens.authenticate(token)
        except Unauthorized:
            return False
        return True

    async def is_closed_to(self, token: str) -> bool:
        """Whether it cannot say."""
        try:
            await self.identity.tokens.authenticate(token)
        except Unavailable:
            return True
        return False


@asynccontextmanager
async def process(cloud: Cloud, dsn: str) -> AsyncIterator[Process]:
    """Another process with the same keys."""
    async with line_to(dsn) as line:
        store = Store(Database(dsn=line.dsn, pool_size=3, statement_seconds=3), "elsewhere")
        await store.open()
        folder = cloud.identity.tokens.keys.folder
        config = GatewayConfig(
            token_key_dir=folder,
            credential_key_dir=folder,
            password_rounds=ROUNDS,
            revocation_trust_seconds=TRUST_SECONDS,
        )
        identity = await Identity.open(store, config)
        try:
            yield Process(identity, line)
        finally:
            line.mend()
            await identity.close()
            await store.close()


@pytest.fixture
async def elsewhere(cloud: Cloud, store: Store) -> AsyncIterator[Process]:
    """A process that has looked at the revocations once."""
    async with process(cloud, store.config.dsn) as other:
        yield other


async def within(seconds: float, holds: Callable[[], Awaitable[bool]]) -> float:
    """How long it took until `holds`; fails after `seconds`."""
    began = time.monotonic()
    while not await holds():
        assert time.monotonic() - began < seconds, f"not so after {seconds} s"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def dead(process: Process, token: str) -> bool:
    """Whether the token is good no more there."""
    return not await process.believes(token)


async def revoke_unheard(store: Store, user_id: str) -> None:
    """A revocation of which no notification tells."""
    await store.execute("UPDATE identity.revision SET revision = revision + 1")
    await store.execute(
        "INSERT INTO identity.revocation (revision, user_id, expires_at) "
        f"SELECT revision, '{user_id}', now() + interval '1 hour' FROM identity.revision"
    )


async def test_a_revocation_is_learnt_at_once_without_a_word_of_the_bus(cloud: Cloud, elsewhere: Process) -> None:
    user, _, token = await cloud.member()
    assert await elsewhere.believes(token)
    await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"enabled": False}})
    assert await within(1, lambda: dead(elsewhere, token)) < 0.4


async def test_a_revocation_of_which_nobody_tells_is_learnt_within_a_second(
    cloud: Cloud, elsewhere: Process, store: Store
) -> None:
    user, _, token = await cloud.member()
    assert await elsewhere.believes(token)
    await revoke_unheard(store, user["id"])
    await within(1, lambda: dead(elsewhere, token))


async def test_a_token_is_believed_for_a_while_without_the_database_and_then_no_more(
    cloud: Cloud, elsewhere: Process
) -> None:
    _, _, token = await cloud.member()
    assert await elsewhere.believes(token)
    elsewhere.line.cut()
    assert await elsewhere.believes(token)
    await within(TRUST_SECONDS + 1.5, lambda: elsewhere.is_closed_to(token))
    began = time.monotonic()
    assert await elsewhere.is_closed_to(token)
    assert time.monotonic() - began < 0.1, "what is known to fail is not waited for"


async def test_a_line_that_is_silent_counts_as_one_that_is_cut(cloud: Cloud, elsewhere: Process) -> None:
    _, _, token = await cloud.member()
    assert await elsewhere.believes(token)
    elsewhere.line.silence()
    await within(TRUST_SECONDS + 2.5, lambda: elsewhere.is_closed_to(token))


@pytest.mark.parametrize("how", ["cut", "silence"])
async def test_the_database_back_tokens_are_good_again_but_for_those_revoked_meanwhile(
    cloud: Cloud, elsewhere: Process, how: str
) -> None:
    user, _, lost = await cloud.member()
    _, _, kept = await cloud.member()
    assert await elsewhere.believes(lost)
    assert await elsewhere.believes(kept)
    getattr(elsewhere.line, how)()
    await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"enabled": False}})
    await within(TRUST_SECONDS + 2.5, lambda: elsewhere.is_closed_to(lost))
    elsewhere.line.mend()

    async def open_again() -> bool:
        return not await elsewhere.is_closed_to(kept)

    await within(15, open_again)
    assert await elsewhere.believes(kept)
    assert not await elsewhere.believes(lost)


async def test_a_process_that_was_stopped_for_long_looks_before_it_believes(
    cloud: Cloud, elsewhere: Process, store: Store
) -> None:
    user, _, lost = await cloud.member()
    _, _, kept = await cloud.member()
    assert await elsewhere.believes(lost)
    await revoke_unheard(store, user["id"])
    elsewhere.identity.tokens.revocations.confirmed_at -= 60
    assert await elsewhere.believes(kept)
    assert not await elsewhere.believes(lost)


async def test_users_are_asked_to_come_again(cloud: Cloud, elsewhere: Process) -> None:
    _, _, token = await cloud.member()
    services = {"store": elsewhere.identity.store, **elsewhere.identity.services()}
    async with front([api()], RULES, services, authenticate=elsewhere.identity.tokens.authenticate) as client:
        assert (await client.call("GET", "/identity/v3/auth/projects", token=token)).status == 200
        elsewhere.line.cut()
        await within(TRUST_SECONDS + 1.5, lambda: elsewhere.is_closed_to(token))
        answer = await client.call("GET", "/identity/v3/auth/catalog", token=token)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert answer.body["error"]["code"] == 503
        assert token not in answer.data.decode()

"""What a login reads is remembered, and never believed beyond the next change, whoever made it and wherever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from counting_store import Counting
from identity_cloud import PASSWORD, Cloud

from skybus.errors import Unauthorized
from skybus.identity import Identity, Tokens
from skybus.identity.auth.scopes import Scope, scope_for
from skybus.identity.login.login_memory import MOST, LoginMemory
from skybus.store import Store


class Elsewhere:
    """Another gateway process, to which no event comes: it knows what it looks up."""

    def __init__(self, cloud: Cloud, store: Store) -> None:
        self.store = Counting(store)
        tokens = Tokens(cloud.identity.tokens.keys)
        self.identity = Identity(self.store, tokens, cloud.identity.passwords)  # type: ignore[arg-type]

    async def login(self, identity: dict[str, Any], scope: Any = None) -> Scope:
        """The scope that a login gets."""
        proven = await self.identity.login.prove(identity)
        return await scope_for(self.identity.login.memory.reads, proven, scope)


async def credential(cloud: Cloud, user: Any, token: str) -> dict[str, Any]:
    """An identity object that shows a new application credential."""
    path = f"/users/{user['id']}/application_credentials"
    made = await cloud.call("POST", path, {"application_credential": {"name": "c"}}, token=token)
    shown = {name: made.body["application_credential"][name] for name in ("id", "secret")}
    return {"methods": ["application_credential"], "application_credential": shown}


async def test_logging_in_again_costs_one_look(cloud: Cloud, store: Store) -> None:
    user, _, token = await cloud.member()
    shown = await credential(cloud, user, token)
    elsewhere = Elsewhere(cloud, store)
    first = await elsewhere.login(shown)
    elsewhere.store.asked.clear()
    assert await elsewhere.login(shown) == first
    assert len(elsewhere.store.asked) == 1
    elsewhere.store.asked.clear()
    await asyncio.gather(*(elsewhere.login(shown) for _ in range(20)))
    assert len(elsewhere.store.asked) <= 2


async def test_a_role_that_another_gateway_gave_is_in_the_next_token(cloud: Cloud, store: Store) -> None:
    user, project, _ = await cloud.member("reader")
    shown = {"methods": ["password"], "password": {"user": {"id": user["id"], "password": PASSWORD}}}
    scope = {"project": {"id": project["id"]}}
    elsewhere = Elsewhere(cloud, store)
    assert (await elsewhere.login(shown, scope)).roles == ("reader",)
    await cloud.call("PUT", f"/projects/{project['id']}/users/{user['id']}/roles/{cloud.roles['member']}")
    assert (await elsewhere.login(shown, scope)).roles == ("member", "reader")
    await cloud.call("DELETE", f"/projects/{project['id']}/users/{user['id']}/roles/{cloud.roles['member']}")
    assert (await elsewhere.login(shown, scope)).roles == ("reader",)


@pytest.mark.parametrize("how", ["delete", "disable", "factors"])
async def test_what_another_gateway_took_away_opens_nothing(cloud: Cloud, store: Store, how: str) -> None:
    """Security class 7."""
    user, _, token = await cloud.member()
    shown = await credential(cloud, user, token)
    elsewhere = Elsewhere(cloud, store)
    await elsewhere.login(shown)
    path = f"/users/{user['id']}"
    if how == "delete":
        one = f"{path}/application_credentials/{shown['application_credential']['id']}"
        assert (await cloud.call("DELETE", one, token=token)).status == 204
    elif how == "disable":
        assert (await cloud.call("PATCH", path, {"user": {"enabled": False}})).status == 200
    else:
        rules = {"user": {"options": {"multi_factor_auth_rules": [["password", "totp"]]}}}
        assert (await cloud.call("PATCH", path, rules)).status == 200
    with pytest.raises(Unauthorized):
        await elsewhere.login(shown)


async def test_a_wrong_secret_is_refused_however_well_the_credential_is_known(cloud: Cloud, store: Store) -> None:
    user, _, token = await cloud.member()
    shown = await credential(cloud, user, token)
    elsewhere = Elsewhere(cloud, store)
    await elsewhere.login(shown)
    shown["application_credential"]["secret"] += "x"
    with pytest.raises(Unauthorized):
        await elsewhere.login(shown)


async def test_names_that_anybody_makes_up_take_no_room(cloud: Cloud, store: Store) -> None:
    """Security class 16."""
    memory = LoginMemory(store, cloud.identity.tokens.revocations)
    await memory.look()
    for number in range(20):
        assert await memory.reads.fetchrow("SELECT 1 WHERE $1::int < 0", number) is None
    assert len(memory.reads._answers) == 0
    for number in range(MOST + 10):
        memory.reads._answers[number,] = number
    await memory.look()
    assert len(memory.reads._answers) == 0


async def test_a_look_that_begins_before_a_change_is_not_shared_by_who_comes_after_it(
    cloud: Cloud, store: Store
) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    class Slow(Counting):
        async def fetchrow(self, sql: str, *args: Any) -> Any:
            row = await super().fetchrow(sql, *args)
            if len(self.asked) == 1:
                began.set()
                await go.wait()
            return row

    slow = Slow(store)
    memory = LoginMemory(slow, cloud.identity.tokens.revocations)
    early = asyncio.create_task(memory.look())
    await began.wait()
    user = await cloud.made("user", password=PASSWORD)
    await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"enabled": False}})
    late = asyncio.gather(memory.look(), memory.look())
    go.set()
    before, after = await early, await late
    assert after == [before + 1, before + 1]
    assert len([sql for sql in slow.asked if "change_count" in sql]) == 2


async def test_a_look_that_failed_fails_those_who_shared_it_and_nobody_after(cloud: Cloud, store: Store) -> None:
    class Broken(Counting):
        broken = True

        async def fetchrow(self, sql: str, *args: Any) -> Any:
            if self.broken:
                raise ConnectionError("away")
            return await super().fetchrow(sql, *args)

    broken = Broken(store)
    memory = LoginMemory(broken, cloud.identity.tokens.revocations)
    results = await asyncio.gather(memory.look(), memory.look(), return_exceptions=True)
    assert all(isinstance(result, ConnectionError) for result in results)
    broken.broken = False
    assert await memory.look() >= 0

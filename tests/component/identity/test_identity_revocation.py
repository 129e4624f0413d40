"""Security class 7: after each change of identity, the old token is dead at once, in every gateway process."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from identity_cloud import PASSWORD, Cloud

from skybus.errors import Unauthorized
from skybus.identity import Identity, Tokens
from skybus.identity.auth.revocations import Revocations
from skybus.messages.identity import TokensRevoked
from skybus.store import Store

Change = Callable[[Cloud, Any, Any, str], Awaitable[Any]]


async def disable_user(cloud: Cloud, user: Any, project: Any, token: str) -> Any:
    return await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"enabled": False}})


async def delete_user(cloud: Cloud, user: Any, project: Any, token: str) -> Any:
    return await cloud.call("DELETE", f"/users/{user['id']}")


async def reset_password(cloud: Cloud, user: Any, project: Any, token: str) -> Any:
    return await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"password": "another"}})


async def change_own_password(cloud: Cloud, user: Any, project: Any, token: str) -> Any:
    body = {"user": {"password": "another", "original_password": PASSWORD}}
    return await cloud.call("POST", f"/users/{user['id']}/password", body, token=token)


async def disable_project(cloud: Cloud, user: Any, project: Any, token: str) -> Any:
    return await cloud.call("PATCH", f"/projects/{project['id']}", {"project": {"enabled": False}})


async def delete_project(cloud: Cloud, user: Any, project: Any, token: str) -> Any:
    return await cloud.call("DELETE", f"/projects/{project['id']}")


async def remove_role(cloud: Cloud, user: Any, project: Any, token: str) -> Any:
    return await cloud.call("DELETE", f"/projects/{project['id']}/users/{user['id']}/roles/{cloud.roles['member']}")


async def delete_role(cloud: Cloud, user: Any, project: Any, token: str) -> Any:
    path = f"/roles/{cloud.roles['member']}"
    await cloud.call("PATCH", path, {"role": {"options": {"immutable": False}}})
    return await cloud.call("DELETE", path)


async def delete_implication(cloud: Cloud, user: Any, project: Any, token: str) -> Any:
    return await cloud.call("DELETE", f"/roles/{cloud.roles['member']}/implies/{cloud.roles['reader']}")


async def disable_domain(cloud: Cloud, user: Any, project: Any, token: str) -> Any:
    return await cloud.call("PATCH", "/domains/default", {"domain": {"enabled": False}})


async def revoke_token(cloud: Cloud, user: Any, project: Any, token: str) -> Any:
    return await cloud.call("DELETE", "/auth/tokens", token=token, headers={"X-Subject-Token": token})


CHANGES: list[Change] = [
    disable_user,
    delete_user,
    reset_password,
    change_own_password,
    disable_project,
    delete_project,
    remove_role,
    delete_role,
    delete_implication,
    disable_domain,
    revoke_token,
]


class Elsewhere:
    """Another gateway process with the same keys, which hears of changes by events alone."""

    def __init__(self, cloud: Cloud, store: Store) -> None:
        self.store = store
        self.identity = Identity(store, Tokens(cloud.identity.tokens.keys), cloud.identity.passwords)

    async def hear(self) -> None:
        """Apply every event that the changes left in the outbox."""
        for row in await self.store.fetch("SELECT type, body FROM bus.outbox ORDER BY id"):
            await self.identity.apply_event(row["type"], json.loads(row["body"]))

    async def works(self, token: str) -> bool:
        """Whether the token is good there."""
        try:
            await self.identity.tokens.authenticate(token)
        except Unauthorized:
            return False
        return True


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_the_old_token_is_dead_here_and_elsewhere(cloud: Cloud, store: Store, change: Change) -> None:
    user, project, token = await cloud.member()
    elsewhere = Elsewhere(cloud, store)
    await elsewhere.hear()
    assert await cloud.works(token)
    assert await elsewhere.works(token)
    assert (await change(cloud, user, project, token)).status in (200, 204)
    assert not await cloud.works(token)
    assert (await cloud.again(token)).status == 404
    assert await elsewhere.works(token)
    await elsewhere.hear()
    assert not await elsewhere.works(token)
    late = Tokens(cloud.identity.tokens.keys)
    await late.load(store)
    with pytest.raises(Unauthorized):
        await late.authenticate(token)


@pytest.mark.parametrize("change", [disable_user, disable_project, reset_password, remove_role])
async def test_what_others_hold_stays_good(cloud: Cloud, change: Change) -> None:
    user, project, token = await cloud.member()
    _, _, other = await cloud.member()
    await change(cloud, user, project, token)
    assert await cloud.works(other)
    assert await cloud.works(cloud.admin_token)


async def test_a_new_login_right_after_a_password_change_is_good_everywhere(cloud: Cloud, store: Store) -> None:
    user, project, token = await cloud.member()
    assert (await change_own_password(cloud, user, project, token)).status == 204
    answer = await cloud.password(user["id"], "another", {"project": {"id": project["id"]}})
    assert answer.status == 201
    elsewhere = Elsewhere(cloud, store)
    await elsewhere.hear()
    assert await elsewhere.works(answer.headers["X-Subject-Token"])
    assert await cloud.works(answer.headers["X-Subject-Token"])
    assert (await cloud.password(user["id"])).status == 401


async def test_enabling_again_does_not_raise_the_dead(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    await disable_user(cloud, user, project, token)
    await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"enabled": True}})
    assert not await cloud.works(token)
    assert await cloud.works(await cloud.token(user["id"], project["id"]))


async def test_removing_one_role_kills_the_tokens_of_that_project_alone(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    second = await cloud.made("project")
    grant = f"/projects/{second['id']}/users/{user['id']}/roles/{cloud.roles['reader']}"
    await cloud.call("PUT", grant)
    beside = await cloud.token(user["id"], second["id"])
    unscoped = await cloud.token(user["id"], scope="unscoped")
    await remove_role(cloud, user, project, token)
    assert not await cloud.works(token)
    assert await cloud.works(beside)
    assert await cloud.works(unscoped)


async def test_leaving_a_group_takes_its_roles_away(cloud: Cloud) -> None:
    user = await cloud.made("user", password=PASSWORD)
    group, project = await cloud.made("group"), await cloud.made("project")
    await cloud.call("PUT", f"/projects/{project['id']}/groups/{group['id']}/roles/{cloud.roles['member']}")
    assert (await cloud.call("PUT", f"/groups/{group['id']}/users/{user['id']}")).status == 204
    token = await cloud.token(user["id"], project["id"])
    assert await cloud.works(token)
    assert (await cloud.call("DELETE", f"/groups/{group['id']}/users/{user['id']}")).status == 204
    assert not await cloud.works(token)
    assert (await cloud.password(user["id"], scope={"project": {"id": project["id"]}})).status == 401


async def test_a_token_is_not_made_from_a_parent_that_another_process_has_revoked(cloud: Cloud, store: Store) -> None:
    user, project, token = await cloud.member()
    elsewhere = Elsewhere(cloud, store)
    await elsewhere.identity.tokens.authenticate(token)
    await reset_password(cloud, user, project, token)
    with pytest.raises(Exception, match="Could not find token"):
        await elsewhere.identity.login.prove({"methods": ["token"], "token": {"id": token}})


async def test_a_revocation_that_is_rolled_back_revokes_nothing(cloud: Cloud, store: Store) -> None:
    _, _, token = await cloud.member()

    async def fail() -> None:
        async with store.transaction() as tx:
            await cloud.identity.tokens.revoke(tx, cloud.identity.tokens.claims(token))
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await fail()
    revocations = Revocations()
    await revocations.load(store)
    assert not revocations.covers(cloud.identity.tokens.claims(token))


async def test_no_event_carries_a_secret(cloud: Cloud, store: Store) -> None:
    """Security class 18."""
    secret = "canary-3c1f"
    user = await cloud.made("user", password=secret)
    await cloud.call(
        "POST", f"/users/{user['id']}/password", {"user": {"password": secret + "2", "original_password": secret}}
    )
    rows = await store.fetch("SELECT type, body FROM bus.outbox")
    assert TokensRevoked.TYPE in {row["type"] for row in rows}
    assert not [row["type"] for row in rows if "canary" in row["body"] or "sky1." in row["body"]]

"""The steps of a key rotation: what they make, move and delete, and when they do not yet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from identity_cloud import Cloud

from skybus import clock
from skybus.cli.keys import rotation_step
from skybus.config import Config, Gateway
from skybus.errors import Unauthorized
from skybus.identity.auth.keys import Keys
from skybus.identity.auth.tokens import Tokens
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.identity.credentials.credentials import credentials_of_user
from skybus.identity.credentials.credentials_reseal import SEALED, WITH_KEYS, credential_keys_in_use
from skybus.identity.delegation.oauth1_consumers import consumer_secret
from skybus.messages.identity_credentials import KeysChanged
from skybus.store import Store


@pytest.fixture
def time_passes() -> Iterator[Callable[[timedelta], None]]:
    """Moves the clock on."""
    began = datetime.now(UTC)
    yield lambda by: clock.use(lambda: began + by)
    clock.use(None)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Of the cloud that the tests speak to."""
    return Config(gateway=Gateway(token_key_dir=tmp_path / "keys", credential_key_dir=tmp_path / "credential-keys"))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def seeds(cloud: Cloud, count: int) -> Any:
    """A user with credentials, whose blobs are numbers."""
    user, _, token = await cloud.member()
    for number in range(count):
        asked = {"user_id": user["id"], "type": "totp", "blob": str(number)}
        assert (await cloud.call("POST", "/credentials", {"credential": asked}, token=token)).status == 201
    return user


async def test_credentials_move_to_the_new_key_and_the_old_one_goes_when_nobody_needs_it(
    cloud: Cloud, store: Store, config: Config, time_passes: Callable[[timedelta], None]
) -> None:
    user = await seeds(cloud, 3)
    folder = config.gateway.credential_key_dir

    async def step(name: str) -> dict[str, Any]:
        return await rotation_step(store, config, "credentials", name)

    assert await step("stage") == {"staged": [2]}
    assert await step("stage") == {"staged": [2]}, "one at a time"
    assert await step("reseal") == {"resealed": 0, "failed": 0}
    assert await step("promote") == {"promoted": [2]}
    assert await step("promote") == {"promoted": []}
    time_passes(timedelta(hours=1))
    assert await step("retire") == {"retired": [], "waiting": {1: "for what it encrypts"}}
    assert await step("reseal") == {"resealed": 3, "failed": 0}
    assert await step("reseal") == {"resealed": 0, "failed": 0}
    time_passes(timedelta(minutes=1))
    waits = (await step("retire"))["waiting"]
    assert waits[1].startswith("until "), "somebody may just have sealed with it"
    time_passes(timedelta(hours=1))
    assert await step("retire") == {"retired": [1], "waiting": {}}
    assert files(folder) == ["000002.key"]
    found = await credentials_of_user(store, user["id"], "totp", CredentialKeys(folder))
    assert [one.blob for one in found] == ["0", "1", "2"]
    told = await store.fetch("SELECT body FROM bus.outbox WHERE type = $1 ORDER BY id", KeysChanged.TYPE)
    assert [change for row in told for change in ("staged", "promoted", "retired") if change in row["body"]] == [
        "staged", "staged", "promoted", "retired",
    ]  # fmt: skip


async def test_many_credentials_move_in_batches_and_one_that_is_broken_stops_nothing(
    cloud: Cloud, store: Store, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    users = [await seeds(cloud, 60) for _ in range(2)]
    await store.fetch("UPDATE identity.credential SET sealed = '' WHERE id = (SELECT min(id) FROM identity.credential)")
    for name in ("stage", "promote"):
        await rotation_step(store, config, "credentials", name)
    assert await rotation_step(store, config, "credentials", "reseal") == {"resealed": 119, "failed": 1}
    assert "credential_not_resealed" in capsys.readouterr().out
    kept = await rotation_step(store, config, "credentials", "retire")
    assert kept["waiting"] == {1: "for what it encrypts"}
    assert len(await credentials_of_user(store, users[1]["id"], "totp", cloud.identity.login.credential_keys)) == 60


async def test_all_that_is_kept_under_the_keys_moves(
    cloud: Cloud, store: Store, config: Config, time_passes: Callable[[timedelta], None]
) -> None:
    """Secrets of OAuth and of domains are kept under the same keys: a key that goes must not take them with it."""
    assert {row["table_name"] for row in await store.fetch(WITH_KEYS)} == {*SEALED, "domain_option"}
    await seeds(cloud, 1)
    consumer = (await cloud.call("POST", "/OS-OAUTH1/consumers", {"consumer": {}})).body["consumer"]
    domain = await cloud.made("domain")
    asked = {"config": {"ldap": {"url": "ldap://localhost", "password": "canary-of-a-domain"}}}
    answer = await cloud.call("PUT", f"/domains/{domain['id']}/config", asked)
    assert answer.status in (200, 201), answer
    for name in ("stage", "promote"):
        await rotation_step(store, config, "credentials", name)
    assert await credential_keys_in_use(store) == {1}
    assert await rotation_step(store, config, "credentials", "reseal") == {"resealed": 3, "failed": 0}
    assert await credential_keys_in_use(store) == {2}
    time_passes(timedelta(hours=1))
    assert (await rotation_step(store, config, "credentials", "retire"))["retired"] == [1]
    late = CredentialKeys(config.gateway.credential_key_dir)
    assert await consumer_secret(store, late, consumer["id"]) == consumer["secret"]
    row = await store.fetchrow("SELECT name, key_number, sealed FROM identity.domain_option WHERE sealed IS NOT NULL")
    assert late.open(f"{domain['id']}/ldap.password", row["key_number"], row["sealed"]) == "canary-of-a-domain"


async def test_a_key_of_tokens_goes_after_its_last_token(
    cloud: Cloud, store: Store, config: Config, time_passes: Callable[[timedelta], None]
) -> None:
    folder = config.gateway.token_key_dir

    async def step(name: str) -> dict[str, Any]:
        return await rotation_step(store, config, "tokens", name)

    old = cloud.admin_token
    await step("stage")
    elsewhere = Tokens(Keys(folder))
    assert (await elsewhere.authenticate(old)).user_id == cloud.admin_id
    await step("promote")
    assert await step("reseal") == {"resealed": 0, "failed": 0}
    new = await cloud.token(cloud.admin_id, cloud.project_id)
    for tokens in (elsewhere, cloud.identity.tokens):
        for token in (old, new):
            assert (await tokens.authenticate(token)).user_id == cloud.admin_id
    lifetime = timedelta(seconds=config.gateway.token_seconds + config.identity.allow_expired_window)
    time_passes(lifetime)
    assert (await step("retire"))["retired"] == []
    time_passes(lifetime + timedelta(minutes=6))
    assert (await step("retire"))["retired"] == [1]
    clock.use(None)
    late = Tokens(Keys(folder))
    assert (await late.authenticate(new)).user_id == cloud.admin_id
    with pytest.raises(Unauthorized):
        await late.authenticate(old)
    os.utime(folder / "000002.key", (1, 1))
    assert (await step("retire"))["retired"] == [], "the key that signs stays, however old it is"

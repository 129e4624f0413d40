"""A bootstrapped cloud's identity."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from identity_cloud import PASSWORD, ROUNDS, Cloud

from skybus.identity import RULES, Identity, Tokens, api, bootstrap, keys_ensure
from skybus.identity.auth.keys import Keys
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.identity.login.passwords import Passwords
from skybus.store import Store
from support.front import front


@pytest.fixture
def passwords() -> Any:
    """Password hashing that is cheap enough for tests."""
    pool = Passwords(ROUNDS)
    yield pool
    pool.close()


@pytest.fixture
async def cloud(store: Store, tmp_path: Path, passwords: Passwords) -> AsyncIterator[Cloud]:
    """A bootstrapped cloud, and the administrator's token."""
    keys_ensure(tmp_path / "keys")
    async with store.transaction() as tx:
        made = await bootstrap(tx, admin_password=PASSWORD, public_url="http://cloud.test", rounds=ROUNDS)
    identity = Identity(store, Tokens(Keys(tmp_path / "keys")), passwords)
    keys_ensure(tmp_path / "credential-keys")
    identity.login.credential_keys = CredentialKeys(tmp_path / "credential-keys")
    await identity.tokens.load(store)
    services = {"store": store, **identity.services()}
    async with front([api()], RULES, services, authenticate=identity.tokens.authenticate) as client:
        ready = Cloud(client, identity, made.user_id, made.project_id, made.role_ids)
        ready.admin_token = await ready.token(made.user_id, made.project_id)
        yield ready

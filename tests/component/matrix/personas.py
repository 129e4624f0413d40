"""Who asks in the matrix, and where they stand to the one whose things are asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dry import DryIdentity, DryImages, DryStore

from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.ids import new_hex_id
from skybus.store.tail import Tail
from support.owned_cloud import PASSWORD, OwnedCloud, owned_cloud

PERSONAS = {
    "system": "admin on the system",
    "domain": "admin on the domain of the owner and its project",
    "admin": "admin on the owner's project",
    "manager": "manager on the owner's project",
    "owner": "member of the project, and who owns what belongs to a user there",
    "reader": "reader on the owner's project",
    "other": "member of another project",
    "foreign": "manager on another domain",
    "none": "no token",
    "expired": "an administrator's token of yesterday",
}
"""Column -> who that is."""
SHUT = "shut"
"""The last column: the system's administrator, while an operator's policy.yaml says "!" to every rule there is."""


async def _scoped(cloud: OwnedCloud, grant: str, scope: dict[str, Any], role: str = "admin") -> str:
    """A token of a new user with a role on something."""
    made = await cloud.call("POST", "/identity/v3/users", {"user": {"name": new_hex_id(), "password": PASSWORD}})
    user_id = made["user"]["id"]
    await cloud.call("PUT", f"/identity/v3/{grant}/users/{user_id}/roles/{cloud.roles[role]}", status=204)
    identity = {"methods": ["password"], "password": {"user": {"id": user_id, "password": PASSWORD}}}
    body = {"auth": {"identity": identity, "scope": scope}}
    answer = await cloud.client.call("POST", "/identity/v3/auth/tokens", body, token=None)
    assert answer.status == 201, answer
    return str(answer.headers["X-Subject-Token"])


async def tokens(cloud: OwnedCloud) -> dict[str, str | None]:
    """A token for each persona that has one."""
    project = cloud.owned["project"]
    found: dict[str, str | None] = {name: cloud.tokens.get(name) for name in PERSONAS}
    found["other"] = cloud.tokens["stranger"]
    found["system"] = found[SHUT] = await _scoped(cloud, "system", {"system": {"all": True}})
    found["domain"] = await _scoped(cloud, "domains/default", {"domain": {"id": "default"}})
    elsewhere = cloud.spare["domain"]
    found["foreign"] = await _scoped(cloud, f"domains/{elsewhere}", {"domain": {"id": elsewhere}}, "manager")
    for role in ("admin", "manager"):
        _, found[role] = await cloud.user(project, role)
    return found


@asynccontextmanager
async def dry_cloud(folder: Path) -> AsyncIterator[tuple[OwnedCloud, DryStore, dict[str, str | None]]]:
    """A furnished cloud whose gateway changes nothing from now on, and everybody's token."""
    async with owned_cloud(folder) as cloud:
        everybody = await tokens(cloud)
        store = DryStore(cloud.cloud.store.config, "gateway")
        await store.open()
        store.on_owed = lambda owed: None
        try:
            identity = DryIdentity(store, cloud.identity.tokens, cloud.identity.passwords)
            identity.login.credential_keys = CredentialKeys(folder / "credential-keys")
            dispatcher = cloud.client.dispatcher
            images = DryImages(folder / "cloud" / "images")
            more = {"store": store, "images": images, **identity.services()}
            dispatcher.services = {**dispatcher.services, **more}
            yield cloud, store, everybody
        finally:
            # As when a gateway stops: streams whose readers have gone end at once.
            store.tail = Tail(store)
            await store.tail.close()
            await store.close()

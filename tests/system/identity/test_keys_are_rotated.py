"""`ops/rotate-keys` under load, against two gateways: no request fails, and old and new tokens are good everywhere."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from support.process_cloud import ProcessCloud

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

LEAST = 20
"""Requests of each kind while the keys change: with fewer the test would show nothing."""


class Load:
    """Callers who log in, validate, and use credentials, until they are told to stop."""

    def __init__(self, cloud: ProcessCloud, http: aiohttp.ClientSession) -> None:
        self.cloud, self.http = cloud, http
        self.done = asyncio.Event()
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.tokens: list[str] = []
        self.user_id = self.project_id = ""

    async def call(self, method: str, path: str, status: int, token: str = "", **more: Any) -> Any:
        """One request on a connection of its own, so that either gateway may get it."""
        headers = {"X-Auth-Token": token, "Connection": "close", **more.pop("headers", {})}
        async with self.http.request(method, self.cloud.url + path, headers=headers, **more) as answer:
            text = await answer.text()
            if answer.status != status:
                self.failures.append(f"{method} {path}: {answer.status} {text[:300]}")
            token = answer.headers.get("X-Subject-Token", "")
            return token if path.endswith("/auth/tokens") and method == "POST" else json.loads(text or "null")

    async def login(self, identity: dict[str, Any], scope: Any = None) -> str:
        """A token."""
        auth: dict[str, Any] = {"identity": identity, **({"scope": scope} if scope else {})}
        return str(await self.call("POST", "/auth/tokens", 201, json={"auth": auth}))

    async def by_password(self) -> str:
        """A token of the administrator."""
        auth = self.cloud.entry["auth"]
        user = {"name": auth["username"], "password": auth["password"], "domain": {"id": "default"}}
        scope = {"project": {"name": auth["project_name"], "domain": {"id": "default"}}}
        return await self.login({"methods": ["password"], "password": {"user": user}}, scope)

    async def validate(self, token: str, subject: str) -> None:
        """`GET /auth/tokens`, without what gateways remember of other subjects."""
        await self.call("GET", "/auth/tokens", 200, token, headers={"X-Subject-Token": subject})

    async def forever(self, kind: str, once: Any) -> None:
        """Do it again and again."""
        while not self.done.is_set():
            await once()
            self.counts[kind] += 1
            await asyncio.sleep(0.02)


async def credential_of(load: Load, token: str) -> tuple[str, str]:
    """(id, blob) of a new credential."""
    asked = {"user_id": load.user_id, "project_id": load.project_id, "type": "cert", "blob": uuid4().hex}
    made = await load.call("POST", "/credentials", 201, token, json={"credential": asked})
    return made["credential"]["id"], asked["blob"]


async def under_load(cloud: ProcessCloud, load: Load, admin: str) -> list[str]:
    """What two rotations printed, while everybody was at work."""
    application = {"application_credential": {"name": uuid4().hex}}
    path = f"/users/{load.user_id}/application_credentials"
    made = (await load.call("POST", path, 201, admin, json=application))["application_credential"]
    shown = {"id": made["id"], "secret": made["secret"]}
    identity = {"methods": ["application_credential"], "application_credential": shown}
    kept = [await credential_of(load, admin) for _ in range(5)]

    async def log_in_and_validate() -> None:
        token = await load.login(identity)
        load.tokens = [*load.tokens[-50:], token]
        # Twice, for one of them is the other gateway, which did not make it.
        await asyncio.gather(load.validate(admin, token), load.validate(token, token))

    async def validate_an_old_one() -> None:
        await load.validate(admin, admin)

    async def password() -> None:
        await load.validate(admin, await load.by_password())

    async def credentials() -> None:
        one, blob = await credential_of(load, admin)
        for wanted, secret in ((one, blob), *kept):
            found = await load.call("GET", f"/credentials/{wanted}", 200, admin)
            if found["credential"]["blob"] != secret:
                load.failures.append(f"the credential {wanted} is not what it was")
        await load.call("DELETE", f"/credentials/{one}", 204, admin)

    kinds = {"login": log_in_and_validate, "old": validate_an_old_one, "password": password, "secret": credentials}
    tasks = [asyncio.create_task(load.forever(kind, once)) for kind, once in kinds.items()]
    try:
        said = []
        for words in ((), ("tokens",)):
            said.append(await asyncio.to_thread(cloud.ops, "rotate-keys", *words, seconds=60))
            before = Counter(load.counts)
            async with asyncio.timeout(60):
                while any(load.counts[kind] == before[kind] for kind in kinds):
                    await asyncio.sleep(0.05)
        async with asyncio.timeout(60):
            while any(load.counts[kind] < LEAST for kind in kinds if kind != "password"):
                await asyncio.sleep(0.05)
    finally:
        load.done.set()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    load.failures += [repr(one) for one in ended if one is not None]
    for _ in range(6):
        await asyncio.gather(*(load.validate(admin, token) for token in (admin, *load.tokens[:3])))
    for one, _ in kept:
        await load.call("DELETE", f"/credentials/{one}", 204, admin)
    await load.call("DELETE", f"{path}/{made['id']}", 204, admin)
    return said


def numbers(folder: Path) -> list[int]:
    """The keys in a folder that sign or signed; none may be left staged."""
    assert not list(folder.glob("*.next"))
    return sorted(int(path.stem) for path in folder.glob("*.key"))


async def test_no_request_fails_while_keys_are_rotated(processes: ProcessCloud) -> None:
    tokens, credentials = processes.state / "keys", processes.state / "credential-keys"
    had = max(numbers(tokens)), max(numbers(credentials))
    async with aiohttp.ClientSession() as http:
        load = Load(processes, http)
        admin = await load.by_password()
        mine = await load.call("GET", "/auth/tokens", 200, admin, headers={"X-Subject-Token": admin})
        load.user_id, load.project_id = mine["token"]["user"]["id"], mine["token"]["project"]["id"]
        said = await under_load(processes, load, admin)
        assert load.failures == [], load.failures[:5]
        assert all(load.counts[kind] >= LEAST for kind in ("login", "old", "secret")), load.counts
    assert (max(numbers(tokens)), max(numbers(credentials))) == (had[0] + 2, had[1] + 1)
    assert f"tokens: key {had[0] + 1} is in use now; 2 gateways knew it before." in said[0]
    assert "encrypted anew" in said[0]
    assert f"key {had[0]} is needed until" in said[1], "its last token has not ended yet"

"""Two whole gateways over one database and one bus, and people whose tokens are about to die."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from identity_cloud import PASSWORD, ROUNDS

from skybus.config import Bus, Config, Database
from skybus.config import Gateway as GatewayConfig
from skybus.gateway.main import Part
from skybus.identity import bootstrap, keys_ensure
from skybus.ids import new_hex_id
from skybus.store import Store
from support.buses import memory_broker
from support.databases import database


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Person:
    """A user with a role on a project."""

    user: str
    project: str
    role: str


class World:
    """The gateways `here`, through which everything is changed, and `there`."""

    def __init__(self, http: aiohttp.ClientSession, here: Part, there: Part, roles: dict[str, str]) -> None:
        self.http, self.here, self.there, self.roles = http, here, there, roles
        self.admin = ""

    async def call(
        self, method: str, path: str, body: Any = None, token: str = "", at: Part | None = None, **headers: str
    ) -> Said:
        """A call of the administrator, or with `token`."""
        url = f"{(at or self.here).config.gateway.url}/identity/v3{path}"
        sent = {"X-Auth-Token": token or self.admin, **headers}
        async with self.http.request(method, url, json=body, headers=sent) as response:
            data = await response.read()
            return Said(response.status, await response.json() if data else None, response.headers)

    async def done(self, method: str, path: str, body: Any = None, token: str = "", **headers: str) -> Any:
        """The body of an answer that must be a yes."""
        said = await self.call(method, path, body, token, **headers)
        assert said.status in (200, 201, 204), (method, path, said)
        return said.body

    async def made(self, noun: str, **attributes: Any) -> str:
        """The id of a new project, user, role, ..."""
        body = {noun: {"name": f"{noun}-{new_hex_id()[-8:]}", **attributes}}
        return str((await self.done("POST", f"/{noun}s", body))[noun]["id"])

    async def person(self, user: str = "", project: str = "", role: str = "", **attributes: Any) -> Person:
        """A user, new unless given, with a role of its own on a project of its own; `attributes` are the user's."""
        user = user or await self.made("user", password=PASSWORD, **attributes)
        made = Person(user, project or await self.made("project"), role or await self.made("role"))
        await self.done("PUT", f"/projects/{made.project}/users/{made.user}/roles/{made.role}")
        return made

    async def token(self, identity: Mapping[str, Any], scope: Any) -> str:
        """A token for whatever proves who it is."""
        auth = {"auth": {"identity": {"methods": list(identity), **identity}, **({"scope": scope} if scope else {})}}
        said = await self.call("POST", "/auth/tokens", auth)
        assert said.status == 201, said
        return said.headers["X-Subject-Token"]

    async def by_password(self, user: str, scope: Any) -> str:
        """A token by password."""
        return await self.token({"password": {"user": {"id": user, "password": PASSWORD}}}, scope)

    async def line(self, user: str, scope: Any) -> list[str]:
        """A token by password, and one that was made from it."""
        first = await self.by_password(user, scope)
        return [first, await self.token({"token": {"id": first}}, scope)]

    async def lines(self, who: Person) -> list[str]:
        """A line of tokens on the person's project."""
        return await self.line(who.user, {"project": {"id": who.project}})

    async def believes(self, part: Part, token: str) -> bool:
        """Whether a gateway lets the token in."""
        status = (await self.call("GET", "/auth/projects", token=token, at=part)).status
        assert status in (200, 401), status
        return status == 200


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def two_gateways(folder: Path) -> AsyncIterator[World]:
    """Both of them, serving."""
    keys_ensure(folder / "keys")
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(database())
        broker = await stack.enter_async_context(memory_broker())
        store = Store(Database(dsn=dsn, pool_size=1), "bootstrap")
        await store.open()
        async with store.transaction() as tx:
            made = await bootstrap(tx, admin_password=PASSWORD, public_url="http://cloud.test", rounds=ROUNDS)
        await store.close()
        parts = []
        for name in ("here", "there"):
            gateway = GatewayConfig(
                port=_free_port(), token_key_dir=folder / "keys", credential_key_dir=folder / "keys",
                password_rounds=ROUNDS, image_dir=folder / name,
            )  # fmt: skip
            config = Config(database=Database(dsn=dsn, pool_size=5), bus=Bus(), gateway=gateway)
            part = Part(config, await broker.transport())
            stack.push_async_callback(part.stop)
            await part.start()
            parts.append(part)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        world = World(http, *parts, made.role_ids)
        world.admin = await world.by_password(made.user_id, {"project": {"id": made.project_id}})
        yield world


async def only_events(world: World) -> None:
    """Let the other gateway learn by events alone."""
    await world.there.services.identity.end_watch()


async def no_bus(world: World) -> None:
    """Let no event be numbered or sent any more."""
    await asyncio.gather(world.here.relay.stop(), world.there.relay.stop())


async def as_it_is(world: World) -> None:
    """Change nothing."""

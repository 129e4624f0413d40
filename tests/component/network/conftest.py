"""A gateway in front of the network API, and short ways to make things in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from skybus.network.api import RULES, api, versions_api
from skybus.store import Store
from support.front import Answer, Client, front

ADMIN = "root:p0:admin,manager,member,reader"
ALICE = "alice:p1:member,reader"
BOB = "bob:p2:member,reader"
READER = "rita:p1:reader"
V2 = "/network/v2.0"


class Net:
    """The network API as a test speaks to it."""

    ADMIN, ALICE, BOB, READER = ADMIN, ALICE, BOB, READER

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, method: str, path: str, body: Any = None, token: str = ALICE, **more: Any) -> Answer:
        return await self.client.call(method, V2 + path, body, token=token, **more)

    async def get(self, path: str, token: str = ALICE) -> Any:
        answer = await self.call("GET", path, token=token)
        assert answer.status == 200, answer
        return answer.body

    async def make(self, what: str, token: str = ALICE, **attributes: Any) -> Any:
        answer = await self.call("POST", f"/{what}s", {what: attributes}, token)
        assert answer.status == 201, answer
        return answer.body[what]

    async def network_with_subnet(self, cidr: str = "10.1.0.0/24", token: str = ALICE, **more: Any) -> tuple[Any, Any]:
        network = await self.make("network", token, name="n", **more)
        return network, await self.make("subnet", token, network_id=network["id"], cidr=cidr, ip_version=4)

    async def refused(
        self, method: str, path: str, body: Any = None, token: str = ALICE, *, status: int, kind: str | None = None
    ) -> str:
        """The sentence of a refusal, which has this status and names this exception class."""
        answer = await self.call(method, path, body, token)
        assert answer.status == status, answer
        error = answer.body["NeutronError"]
        assert set(error) == {"type", "message", "detail"}
        if kind is not None:
            assert error["type"] == kind, answer
        return str(error["message"])


@pytest.fixture
async def net(store: Store) -> AsyncIterator[Net]:
    async with front([versions_api(), api()], RULES, {"store": store}) as client:
        yield Net(client)

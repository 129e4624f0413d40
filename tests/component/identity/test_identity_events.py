"""Everything that changes something of identity tells of it: every route is asked, and the outbox looked at."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from skybus.bus import schemas
from skybus.http.routes import Route
from skybus.identity.api import api as identity_api
from skybus.ids import new_hex_id
from skybus.store.relay import post_of
from support.hostile import Ask, ask, send
from support.identity_estate import furnish_identity
from support.owned_cloud import PASSWORD, OwnedCloud, owned_cloud

pytestmark = pytest.mark.asyncio(loop_scope="module")

V3 = "/identity/v3"
QUIET = {
    "POST /v3/auth/tokens": "a login is kept in the audit trail",
    "POST /v3/OS-FEDERATION/identity_providers/{idp_id}/protocols/{protocol_id}/auth": "another way to log in",
    "POST /v3/ec2tokens": "a check of a signature",
    "POST /v3/s3tokens": "a check of a signature",
}
"""What may be asked with a method that changes, and changes nothing."""
SIGNED = {
    "POST /v3/OS-OAUTH1/request_token": "skybus.identity.request-token.created.v1",
    "PUT /v3/OS-OAUTH1/authorize/{request_token_id}": "skybus.identity.request-token.authorized.v1",
    "POST /v3/OS-OAUTH1/access_token": "skybus.identity.access-token.created.v1",
}
"""What a consumer signs, one after the other; a test of their own."""
NAMED = {"idp", "protocol", "mapping", "sp", "region"}
"""What is made under the name that the path gives it."""
EARLY = ("application_credentials", "access_rules", "access_tokens", "trusts")
"""Deleted first: by their owner, whose token dies with what is deleted afterwards."""
LATE = ("mappings", "identity_providers", "registered_limits", "services", "regions", "policies")
LAST = ("users", "groups", "roles", "projects", "domains")
"""Deleted at the end, in this order: much else refers to them."""
BODIES: dict[str, Any] = {
    **{f"PATCH /v3/{noun}s/{{{noun}_id}}": {noun: {"description": "new"}} for noun in ("domain", "project", "role")},
    "PATCH /v3/groups/{group_id}": {"group": {"description": "new"}},
    "PATCH /v3/users/{user_id}": {"user": {"email": "new@cloud.test"}},
    "PATCH /v3/registered_limits/{registered_limit_id}": {"registered_limit": {"description": "new"}},
    "PUT /v3/domains/{domain_id}/config": {"config": {"ldap": {"url": "ldap://127.0.0.1"}}},
    "PATCH /v3/domains/{domain_id}/config": {"config": {"ldap": {"url": "ldap://127.0.0.2"}}},
    "PATCH /v3/domains/{domain_id}/config/{group}": {"config": {"ldap": {"url": "ldap://127.0.0.3"}}},
    "PATCH /v3/domains/{domain_id}/config/{group}/{option}": {"config": {"url": "ldap://127.0.0.4"}},
}
LIMITED = "PATCH /v3/registered_limits/{registered_limit_id}"
"""Not while there are limits below it."""
TOLD = "SELECT * FROM bus.outbox WHERE id > $1 AND exchange = 'skybus.events' AND type LIKE 'skybus.identity.%'"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnedCloud]:
    """A cloud with one of everything."""
    async with owned_cloud(tmp_path_factory.mktemp("events")) as made:
        yield made


def changing() -> list[Route]:
    """The routes that change something, in an order in which each finds what it needs."""
    all_of_them = [route for route in identity_api().routes if route.method not in ("GET", "HEAD")]
    routes = [route for route in all_of_them if str(route) not in {**QUIET, **SIGNED}]

    def rank(route: Route) -> tuple[int, int, int, str]:
        noun, depth = route.path.split("/")[-2], route.path.count("/")
        if str(route) == LIMITED:
            return 3, 0, 0, ""
        if route.method != "DELETE":
            return ("POST", "PUT", "PATCH").index(route.method), 0, depth, str(route)
        alone = route.path.count("{") == 1
        late = LATE.index(noun) + 1 if noun in LATE and alone else 0
        late = EARLY.index(noun) - 9 if noun in EARLY else late
        late = LAST.index(noun) + 100 if noun in LAST and alone else late
        return 3, late, -depth, str(route)

    return sorted(routes, key=rank)


class Listener:
    """Asks, and hears what is told of it."""

    def __init__(self, cloud: OwnedCloud) -> None:
        self.cloud = cloud
        self.api = identity_api()

    async def mark(self) -> int:
        """What is told from now on comes after it."""
        return int(await self.cloud.cloud.store.fetchval("SELECT COALESCE(max(id), 0) FROM bus.outbox"))

    async def told(self, mark: int) -> set[str]:
        """The types of the events since then, each held against its schema."""
        envelopes = [post_of(row).envelope for row in await self.cloud.cloud.store.fetch(TOLD, mark)]
        for envelope in envelopes:
            schemas.check(envelope)
        return {envelope.type for envelope in envelopes}

    async def ask(self, route: Route) -> tuple[int, set[str]]:
        """The status for the one who may, and what is told."""
        status = 0
        for who in ("boss", "spender"):
            asked, token = await self.request(route, self.cloud.tokens[who])
            mark = await self.mark()
            answer = await send(self.cloud.client, asked, token)
            status = answer.status
            if status < 300:
                return status, await self.told(mark)
        return status, set()

    async def request(self, route: Route, token: str) -> tuple[Ask, str]:
        """A proper request, and with whose token."""
        estate, name = dict(self.cloud.spare), str(route)
        if "/config" in route.path:
            estate |= {"group": "ldap", "option": "url"}
        if route.method == "PUT" and route.path.endswith("_id}"):
            made = route.path.rsplit("{", 1)[1].removesuffix("_id}")
            alone = route.path.count("{") == 1 or made == "protocol"
            estate |= {made: new_hex_id()} if made in NAMED and alone else {}
        if name == "POST /v3/users/{user_id}/password":
            estate["user"], token = await self.cloud.user(estate["project"], "member")
            body = {"user": {"password": "another " + PASSWORD, "original_password": PASSWORD}}
            return ask(self.api, route, estate, data=json.dumps(body).encode()), token
        if route.path.endswith("/access_tokens/{access_token_id}"):
            estate["user"] = self.cloud.identity.tokens.claims(self.cloud.tokens["boss"]).user_id
        if route.path.endswith("/{registered_limit_id}"):
            for limit in (await self.cloud.call("GET", f"{V3}/limits", status=200))["limits"]:
                await self.cloud.call("DELETE", f"{V3}/limits/{limit['id']}", status=204)
        if "/config" in route.path and route.method == "DELETE":
            config = BODIES["PUT /v3/domains/{domain_id}/config"]
            path, boss = f"{V3}/domains/{estate['domain']}/config", self.cloud.tokens["boss"]
            assert (await self.cloud.client.call("PUT", path, config, token=boss)).status in (200, 201)
        if name == "DELETE /v3/domains/{domain_id}":
            change = {"domain": {"enabled": False}}
            await self.cloud.call("PATCH", f"{V3}/domains/{estate['domain']}", change, status=200)
        data = json.dumps(BODIES[name]).encode() if name in BODIES else None
        asked = ask(self.api, route, estate, data=data)
        if route.path.endswith("/implies/{implied_id}"):
            path = f"{V3}/roles/{estate['role']}/implies/{self.cloud.roles['reader']}"
            asked = msgspec.structs.replace(asked, path=path)
        if name == "DELETE /v3/auth/tokens":
            _, subject = await self.cloud.user(estate["project"], "member")
            asked = msgspec.structs.replace(asked, headers={"X-Subject-Token": subject})
        return asked, token


async def test_whoever_is_authorized_by_a_user_is_told_of(cloud: OwnedCloud) -> None:
    listener = Listener(cloud)
    mark = await listener.mark()
    cloud.tokens["builder"] = cloud.tokens["spender"]
    await furnish_identity(cloud, dict(cloud.spare))
    assert set(SIGNED.values()) <= await listener.told(mark)


async def test_every_change_is_told_in_an_event_that_keeps_its_schema(cloud: OwnedCloud) -> None:
    listener, silent, unmet = Listener(cloud), [], []
    for route in changing():
        status, told = await listener.ask(route)
        if status >= 300:
            unmet.append(f"{status} {route}")
        elif not told:
            silent.append(str(route))
    assert (silent, unmet) == ([], [])

"""Every route of every API, asked by those who may not: nobody, a member of another project, a reader.

The requests are made from the routes table and the schemas of bodies, so a new route is asked as soon as it exists.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from skybus.compute.server_actions_api import ACTIONS
from skybus.http.routes import PUBLIC, Api, Route
from support.campaign import ROUTES, campaign, is_prefixed, is_shared, private_parts, untouched
from support.front import Answer
from support.hostile import LITERALS, PRIVATE, Ask, ask, named
from support.owned_cloud import OwnedCloud, owned_cloud

CLAIMS = {
    "X-Roles": "admin",
    "X-Role": "admin",
    "X-User-Id": "admin",
    "X-User-Name": "admin",
    "X-Is-Admin-Project": "True",
    "X-Identity-Status": "Confirmed",
    "X-Service-Roles": "service,admin",
    "OpenStack-System-Scope": "all",
}
"""What a proxy would say of a caller whom it has authenticated. Nothing here believes it."""
OPEN = {
    "/os-quota-sets/{id}/defaults",
    "/quotas/{project_id}/default",
    "/v3/os-quota-sets/{target_id}/defaults",
}
"""What anybody may ask of any project: the answer is the same for all."""
UNREAD = {"/v2/images/{image_id}/file"}
"""What a reader may not read: Glance gives an image's data to members."""
PERSONAL = {"keypair", "user", "credential", "user_credential", "access", "access_rule", "trust"}
"""What belongs to a user, not to a project."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnedCloud]:
    """One cloud for all of it."""
    async with owned_cloud(tmp_path_factory.mktemp("every_route")) as made:
        yield made


def guarded() -> Iterator[tuple[Api, Route]]:
    """The routes that need a token."""
    return ((api, route) for api, route in ROUTES if route.policy != PUBLIC)


# --- (1) nobody


@pytest.mark.parametrize("token", [None, "garbage", "a:b:admin", "gAAAAA.aaaa.bbbb", "expired"])
@pytest.mark.asyncio(loop_scope="module")
async def test_nobody_gets_in_without_a_good_token(cloud: OwnedCloud, token: str | None) -> None:
    def refused(asked: Ask, answer: Answer) -> str | None:
        return None if answer.status == 401 else "not 401"

    async with untouched(cloud):
        asks = [ask(api, route, cloud.owned) for api, route in guarded()]
        (await campaign(cloud, asks, refused, who=token, headers=CLAIMS)).check()


# --- (2) others


def subject(cloud: OwnedCloud) -> dict[str, str]:
    """The headers of one who says to be an administrator, and means the owner's token."""
    return {**CLAIMS, "X-Subject-Token": cloud.tokens["owner"], "X-Project-Id": cloud.owned["project"]}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_member_of_another_project_reaches_nothing_by_its_id(cloud: OwnedCloud) -> None:
    def refused(asked: Ask, answer: Answer) -> str | None:
        allowed = (400, 403, 404) if is_prefixed(asked.route) else (403, 404)
        return None if answer.status in allowed else "neither 403 nor 404"

    asks = []
    for api, route in guarded():
        if private_parts(cloud, api, route) and route.path not in OPEN:
            asks.append(ask(api, route, cloud.owned))
    action = next((api, route) for api, route in ROUTES if route.path == "/servers/{id}/action")
    for name in ACTIONS:
        asks.append(ask(*action, cloud.owned, data=f'{{"{name}": {{}}}}'.encode()))
    async with untouched(cloud):
        (await campaign(cloud, asks, refused, who="stranger", headers=subject(cloud))).check()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_member_of_another_project_neither_finds_nor_uses_what_it_does_not_own(cloud: OwnedCloud) -> None:
    mine = [cloud.owned[name] for name in PRIVATE if name in cloud.owned and not is_shared(cloud, name)]

    def nothing_of_mine(asked: Ask, answer: Answer) -> str | None:
        if answer.status >= 300:
            return None
        if asked.data is not None and any(one.encode() in asked.data for one in mine):
            return "it used what is the owner's"
        text = answer.data.decode(errors="replace").replace(asked.query[1:], "")
        return next((f"it shows {one}" for one in mine if one in text), None)

    project, user = cloud.owned["project"], cloud.owned["user"]
    wide = ["", "?all_tenants=1", "?all_projects=1", f"?project_id={project}", f"?tenant_id={project}"]
    wide += [f"?user_id={user}", f"?owner={project}", "?visibility=all&member_status=all", "?include_names=1"]
    asks = []
    for api, route in guarded():
        if not private_parts(cloud, api, route) and not route.path.endswith("/auth/tokens"):
            for query in wide if route.method == "GET" else [""]:
                asks.append(ask(api, route, cloud.owned, query=query))
    async with untouched(cloud):
        (await campaign(cloud, asks, nothing_of_mine, who="stranger", headers=CLAIMS)).check()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_reader_of_the_project_changes_nothing(cloud: OwnedCloud) -> None:
    def refused(asked: Ask, answer: Answer) -> str | None:
        personal = PERSONAL & set(named(asked.api, asked.route))
        allowed = (403, 404) if personal else (403,)
        return None if answer.status in allowed else "not 403"

    asks = []
    for api, route in guarded():
        if route.method != "GET" and f"{route.method} {route.path}" != "POST /os-keypairs":
            asks.append(ask(api, route, cloud.owned))
    async with untouched(cloud):
        (await campaign(cloud, asks, refused, who="reader", headers=subject(cloud))).check()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_reader_of_the_project_sees_what_its_owner_sees(cloud: OwnedCloud) -> None:
    owners: dict[str, int] = {}

    def remember(asked: Ask, answer: Answer) -> str | None:
        owners[str(asked)] = answer.status
        return None

    def same(asked: Ask, answer: Answer) -> str | None:
        then = owners[str(asked)]
        return None if answer.status == then else f"the owner was answered {then}"

    asks = []
    for api, route in guarded():
        if route.method == "GET" and not PERSONAL & set(named(api, route)) and route.path not in UNREAD:
            asks.append(ask(api, route, cloud.owned))
    async with untouched(cloud):
        (await campaign(cloud, asks, remember, who="owner")).check()
        (await campaign(cloud, asks, same, who="reader", headers=CLAIMS)).check()
    assert sum(status < 300 for status in owners.values()) > 60, owners


def test_the_campaign_knows_every_variable_of_every_path() -> None:
    estate: dict[str, Any] = dict.fromkeys((*PRIVATE, *LITERALS, "flavor", "type", "role", "region", "service"), "x")
    estate |= dict.fromkeys(("endpoint", "endpoint_group", "policy", "registered_limit"), "x")
    estate |= dict.fromkeys(("idp", "protocol", "mapping", "sp", "consumer", "request_token", "access_token"), "x")
    unknown = {name for api, route in ROUTES for name in named(api, route)} - set(estate)
    assert not unknown

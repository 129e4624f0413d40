"""Every route of every API, asked by those who may not, and asked for nonsense by one who may.

The requests are made from the routes table and the schemas of bodies, so a new route is asked as soon as it exists.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from skybus.compute.server_actions_api import ACTIONS
from skybus.gateway.apis import apis
from skybus.http.routes import NO_BODY, PUBLIC, RAW, Api, Route
from support.front import Answer
from support.hostile import (
    HOSTILE,
    LITERALS,
    PRIVATE,
    Ask,
    ask,
    body_of,
    exists,
    fields,
    malformed,
    named,
    path_of,
    send,
    top_level_garbage,
    version_headers,
    with_value,
)
from support.owned_cloud import OwnedCloud, owned_cloud

pytestmark = [pytest.mark.timeout(300)]

ROUTES = [(api, route) for api in apis() for route in api.routes if exists(api, route)]
AT_ONCE = 6
"""Requests on their way at any moment."""
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
PERSONAL = {"keypair", "user", "credential"}
"""What belongs to a user, not to a project."""

Check = Callable[[Ask, Answer], str | None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnedCloud]:
    """One cloud for all of it."""
    async with owned_cloud(tmp_path_factory.mktemp("every_route")) as made:
        yield made


class Offences:
    """What a part of the campaign found, reported together."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.statuses: Counter[int] = Counter()

    def note(self, what: str, asked: Ask, answer: Answer) -> None:
        """One offence."""
        request_id = next((answer.headers[name] for name in asked.api.request_id_headers if name in answer.headers), "")
        self.found.append(f"{what}: {asked} -> {request_id} {answer}")

    def check(self) -> None:
        """Fails when there was any."""
        assert not self.found, f"{len(self.found)} offences, {dict(self.statuses)}:\n" + "\n".join(self.found)
        assert sum(self.statuses.values()) > 0


async def campaign(
    cloud: OwnedCloud, asks: Iterable[Ask], check: Check, *, who: str | None, headers: dict[str, str] | None = None
) -> Offences:
    """Send all; nothing may crash, and every refusal is in its API's own form."""
    offences, gate = Offences(), asyncio.Semaphore(AT_ONCE)
    token = None if who is None else cloud.tokens.get(who, who)

    async def one(asked: Ask) -> None:
        async with gate:
            answer = await send(cloud.client, asked, token, headers)
        offences.statuses[answer.status] += 1
        problem = check(asked, answer)
        if answer.status >= 500 and answer.status != 501:
            problem = "it crashed"
        elif problem is None and answer.status >= 400:
            problem = malformed(asked, answer) or None
        if problem:
            offences.note(problem, asked, answer)

    pending = list(asks)
    await _in_turn(pending, one)
    return offences


async def _in_turn(asks: list[Ask], one: Callable[[Ask], Awaitable[None]]) -> None:
    for start in range(0, len(asks), 200):
        async with asyncio.TaskGroup() as group:
            for asked in asks[start : start + 200]:
                group.create_task(one(asked))


@asynccontextmanager
async def untouched(cloud: OwnedCloud) -> AsyncIterator[None]:
    """Holds that no row that names something of the owner's came, went or changed."""
    before = await owners_rows(cloud)
    yield
    after = await owners_rows(cloud)
    changed = [f"- {row}" for row in sorted(before - after)] + [f"+ {row}" for row in sorted(after - before)]
    assert not changed, "the owner's things have changed:\n" + "\n".join(changed)


async def owners_rows(cloud: OwnedCloud) -> set[str]:
    """The rows that name something of the owner's."""
    mine = [cloud.owned[name] for name in PRIVATE if name in cloud.owned and not is_shared(cloud, name)]
    return {row for row in await cloud.rows() if any(one in row for one in mine)}


def is_shared(cloud: OwnedCloud, name: str) -> bool:
    """Whether both estates name the same thing, as a host."""
    return cloud.owned[name] == cloud.spare.get(name)


def guarded() -> Iterator[tuple[Api, Route]]:
    """The routes that need a token."""
    return ((api, route) for api, route in ROUTES if route.policy != PUBLIC)


def is_twin(api: Api, route: Route) -> bool:
    """Whether the route is another spelling of one: in an older version, or with the project in its path."""
    return (api.versions is not None and api.versions.fixed) or is_prefixed(route)


def is_prefixed(route: Route) -> bool:
    """Whether a volume route says the project twice, in the path and by the token."""
    return route.path.startswith("/v3/{project_id}/") and "volume" in route.handler.__module__


def private_parts(cloud: OwnedCloud, api: Api, route: Route) -> list[str]:
    """What of the path is the owner's own."""
    return [name for name in named(api, route) if name in PRIVATE and name in cloud.owned]


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


# --- (3) bodies


def bodied() -> Iterator[tuple[Api, Route]]:
    """The routes that take a body of JSON."""
    return ((api, route) for api, route in ROUTES if route.body not in (NO_BODY, RAW))


@pytest.mark.asyncio(loop_scope="module")
async def test_no_route_takes_a_body_that_is_garbage(cloud: OwnedCloud) -> None:
    def refused(asked: Ask, answer: Answer) -> str | None:
        return None if 400 <= answer.status < 500 else "not 4xx"

    asks = []
    for api, route in bodied():
        for _, data in top_level_garbage(body_of(route.body, cloud.owned)):
            asks.append(ask(api, route, cloud.owned, data=data))
    async with untouched(cloud):
        (await campaign(cloud, asks, refused, who="boss")).check()


@pytest.mark.asyncio(loop_scope="module")
async def test_no_route_falls_over_any_value_of_any_field(cloud: OwnedCloud) -> None:
    import json

    def anything(asked: Ask, answer: Answer) -> str | None:
        return None

    asks = []
    for api, route in bodied():
        if is_twin(api, route):
            continue
        proper = body_of(route.body, cloud.spare)
        for at in fields(route.body):
            for _, value in HOSTILE:
                data = json.dumps(with_value(proper, at, value)).encode()
                asks.append(ask(api, route, cloud.spare, data=data))
        if isinstance(proper, dict):
            for data in ({}, {**proper, "surprise": 1}, *({key: {}} for key in proper)):
                asks.append(ask(api, route, cloud.spare, data=json.dumps(data).encode()))
    async with untouched(cloud):
        (await campaign(cloud, asks, anything, who="boss")).check()


# --- (4) query strings

LONG = "x" * 7_000
NAMES = (
    *("name", "id", "status", "status[]", "host", "type", "sort", "sort_dir", "tags", "not-tags", "changes-since"),
    *("changes-before", "ip", "ip6", "flavor", "image", "metadata", "uuid", "user_id", "project_id", "tenant_id"),
    *("fixed_ips", "device_id", "network_id", "mac_address", "fields", "cidr", "ip_version", "shared", "enabled"),
    *("size", "bootable", "min_ram", "size_min", "created_at", "updated_at", "visibility", "owner", "protected"),
    *("scope.project.id", "role.id", "user.id", "effective", "include_names", "domain_id", "parent_id", "is_public"),
    *("availability_zone", "hypervisor_hostname_pattern", "password_expires_at", "start", "end", "detailed"),
    *("all_tenants", "deleted", "is_domain", "is_default", "resource_id", "state", "kind", "request_id"),
    *("locked", "power_state", "vm_state", "task_state", "reservation_id", "created_since", "limit", "marker"),
    *("page_reverse", "sort_key", "offset", "os_hidden", "usage", "binary", "reserved", "types", "from", "minDisk"),
    *("minRam", "volume_type", "attach_status", "migration_status", "with_count", "member_status", "subtree_as_list"),
)
NONSENSE = ("", "(((((", "%25%27%22%5C", "9" * 40, "-1", "2026-13-45T99:00", "%F0%9F%98%80", "%FF%FE", "in:%22")
QUERIES = (
    *("limit=-1", "limit=abc", "limit=99999999999999999999", "limit=0", "limit=1.5", "limit=%D9%A3", "limit=%C2%B2"),
    *("marker=nonsense", "marker=00000000-0000-4000-8000-000000000000", "limit=1&limit=x", "marker=a&marker=b"),
    *("sort_key=password;--", "sort_key=id&sort_dir=up", "sort=id:asc,id:desc", "sort_key=id&sort_key=id"),
    *("sort=" + "id,id," * 500, "sort_key=", "sort=:", "fields=nonsense", "fields=id&fields=", "name=*", "name=%2A"),
    *(f"name={LONG}", f"{LONG}=1", "a&b&&=&=c", "name=a&name=b", "name=%", "%", "offset=99999999999999999999"),
    *("name__like=(((((", "start=x&end=y", "start=9999-12-31T23:59:59&end=0001-01-01", "created_at=gt:", "tags=,,,"),
    *("updated_at=gt:0001-01-01T00:00:00%2B23:59", "created_at=lt:9999-12-31T23:59:59-23:59", "fixed_ips=ip_address="),
    *("changes-since=0001-01-01T00:00:00%2B23:59", "metadata=%7B%22a%22:%5B%5D%7D", "metadata=" + "%5B" * 2000),
    *("fixed_ips=subnet_id=%27", "mac_address=zz", "id=in:%22,%22", "size_min=99999999999999999999"),
)


def read() -> Iterator[tuple[Api, Route]]:
    """What is read by way of a query, each once; the many lists of grants are one another's like."""
    for api, route in ROUTES:
        alike = "/roles" in route.path and "{" in route.path
        if route.method == "GET" and not alike and not is_twin(api, route) and route.path != "/stream":
            yield api, route


def queries(cloud: OwnedCloud) -> list[Ask]:
    """Every read with some nonsense, every list with all of it, and a nonsensical filter of each name."""
    asks = []
    for number, (api, route) in enumerate(read()):
        of_one = "{" in route.path
        asks += [
            ask(api, route, cloud.owned, query=f"?{one}") for one in (QUERIES[number % 5 :: 5] if of_one else QUERIES)
        ]
        for place, name in enumerate(() if of_one else NAMES):
            for value in (NONSENSE[place % 9], "((((("):
                asks.append(ask(api, route, cloud.owned, query=f"?{name}={value}"))
    return asks


@pytest.mark.asyncio(loop_scope="module")
async def test_no_query_string_makes_a_route_fall_over(cloud: OwnedCloud) -> None:
    def whole(asked: Ask, answer: Answer) -> str | None:
        return None if answer.status < 500 else "it crashed"

    async with untouched(cloud):
        (await campaign(cloud, queries(cloud), whole, who="boss")).check()


# --- (5) ids in paths

IDS = (
    *("nonsense", "x" * 3_500, "%2F..%2F..%2F", "..%2Fservers", "%27%22%3B--", "00000000-0000-4000-8000-000000000000"),
    *("0" * 32, "9" * 40, "-1", "%F0%9F%98%80", "%FF%FE", "%ED%A0%80", "%0A", "%25", "detail%2F", "%7B0%7D", "%5C"),
)
MANY_TWINS = ("nonsense", "x" * 3_500, "%27%22%3B--", "%FF%FE")


@pytest.mark.asyncio(loop_scope="module")
async def test_no_id_that_leads_nowhere_makes_a_route_fall_over(cloud: OwnedCloud) -> None:
    def nowhere(asked: Ask, answer: Answer) -> str | None:
        return None if answer.status < 500 else "it crashed"

    asks = []
    for api, route in ROUTES:
        few = "/roles" in route.path or is_twin(api, route)
        for name in dict.fromkeys(named(api, route)):
            for value in MANY_TWINS if few else IDS:
                proper = ask(api, route, cloud.spare)
                path = path_of(api, route, cloud.spare, **{name: value})
                asks.append(Ask(api=api, route=route, path=path, data=proper.data, headers=dict(proper.headers)))
    async with untouched(cloud):
        (await campaign(cloud, asks, nowhere, who="boss")).check()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_line_that_is_too_long_is_refused(cloud: OwnedCloud) -> None:
    route = next((api, route) for api, route in ROUTES if route.path == "/servers/{id}")
    asked = ask(*route, cloud.owned)
    longer = Ask(api=asked.api, route=asked.route, path=asked.path + "x" * 10_000)
    answer = await send(cloud.client, longer, cloud.tokens["owner"])
    assert answer.status in (400, 414), answer


def test_the_campaign_knows_every_variable_of_every_path() -> None:
    estate: dict[str, Any] = dict.fromkeys((*PRIVATE, *LITERALS, "flavor", "type", "role", "region", "service"), "x")
    estate |= {"endpoint": "x"}
    unknown = {name for api, route in ROUTES for name in named(api, route)} - set(estate)
    assert not unknown
    assert all(isinstance(version_headers(api, route), dict) for api, route in ROUTES)

"""Every route of every API, asked for nonsense by one who may: bodies, query strings, ids.

Nothing crashes, every refusal is in its API's own form, and what is another's stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from skybus.compute.server_actions_api import ACTIONS
from skybus.http.routes import NO_BODY, RAW, Api, Route
from support.bodies import HOSTILE, body_of, fields, top_level_garbage, with_value
from support.campaign import ROUTES, campaign, is_twin, untouched
from support.front import Answer
from support.hostile import Ask, ask, named, path_of, send
from support.owned_cloud import OwnedCloud, owned_cloud


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnedCloud]:
    """One cloud for all of it."""
    async with owned_cloud(tmp_path_factory.mktemp("every_route")) as made:
        yield made


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


def broken(route: Route, proper: object) -> Iterator[object]:
    """A proper body with something wrong in every place, one at a time."""
    for at in fields(route.body):
        for _, value in HOSTILE:
            yield with_value(proper, at, value)
    if isinstance(proper, dict):
        yield from ({}, {**proper, "surprise": 1}, *({key: {}} for key in proper))
    if route.body == "compute/server-action":
        for name in ACTIONS:
            for _, value in HOSTILE:
                # A console that is asked for properly is waited for, and no host answers here.
                if (name, value) != ("os-getConsoleOutput", {}):
                    yield {name: value}
            yield {name: {"surprise": 1}}


@pytest.mark.parametrize("who", ["boss", "spender"])
@pytest.mark.asyncio(loop_scope="module")
async def test_no_route_falls_over_any_value_of_any_field(cloud: OwnedCloud, who: str) -> None:
    def whole(asked: Ask, answer: Answer) -> str | None:
        return None if answer.status < 500 else "it crashed"

    asks = []
    for api, route in bodied():
        if not is_twin(api, route) and (who == "boss" or api.name != "identity"):
            for body in broken(route, body_of(route.body, cloud.spare)):
                asks.append(ask(api, route, cloud.spare, data=json.dumps(body).encode()))
    async with untouched(cloud):
        (await campaign(cloud, asks, whole, who=who)).check()


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

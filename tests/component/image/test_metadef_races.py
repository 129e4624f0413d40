"""Metadata definitions that several change at once: one wins, the others are told, and nothing is half there."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from skybus.image.metadefs import standard
from skybus.store import Store
from support.front import Answer, Client

ROOT = "root:p0:admin,member,reader"
PATH = "/image/v2/metadefs/namespaces"
COLOUR: dict[str, Any] = {"name": "p", "title": "Colour", "type": "string"}


async def at_once(cloud: Client, *asked: tuple[str, str, Any]) -> list[Answer]:
    return await asyncio.gather(
        *(cloud.call(method, f"{PATH}{path}", body, token=ROOT) for method, path, body in asked)
    )


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


async def test_of_many_creates_and_renames_to_one_name_one_wins(cloud: Client, store: Store) -> None:
    for name in ("a", "b", "c"):
        assert (await cloud.call("POST", PATH, {"namespace": name}, token=ROOT)).status == 201
    renames = [("PUT", f"/{name}", {"namespace": "wanted"}) for name in ("a", "b", "c")]
    creates = [("POST", "", {"namespace": "wanted", "tags": [{"name": "t"}]})] * 3
    answers = await at_once(cloud, *renames, *creates)
    assert sum(answer.status in (200, 201) for answer in answers) == 1, answers
    assert statuses(answers)[409] == 5, answers
    rows = await store.fetch("SELECT namespace FROM image.metadef_namespace")
    assert "wanted" in {row["namespace"] for row in rows}


async def test_of_many_that_add_the_same_thing_one_wins(cloud: Client) -> None:
    await cloud.call("POST", PATH, {"namespace": "n"}, token=ROOT)
    for path, body in (
        ("/n/objects", {"name": "o"}),
        ("/n/properties", COLOUR),
        ("/n/tags/t", None),
        ("/n/resource_types", {"name": "R"}),
    ):
        answers = await at_once(cloud, *[("POST", path, body)] * 4)
        assert statuses(answers) == {201: 1, 409: 3}, (path, answers)


async def test_resource_types_that_come_in_another_order_block_nobody(cloud: Client, store: Store) -> None:
    types = [{"name": f"R{number}"} for number in range(8)]
    orders = [types, types[::-1]] * 3
    asked = [
        ("POST", "", {"namespace": f"n{number}", "resource_type_associations": order})
        for number, order in enumerate(orders)
    ]
    answers = await at_once(cloud, *asked)
    assert statuses(answers) == {201: 6}, answers
    assert await store.fetchval("SELECT count(*) FROM image.metadef_resource_type") == 8


async def test_what_is_added_while_the_namespace_goes_is_gone_or_was_never_there(cloud: Client, store: Store) -> None:
    for turn in range(4):
        await cloud.call("POST", PATH, {"namespace": "n"}, token=ROOT)
        adds: list[tuple[str, str, Any]] = [
            ("POST", "/n/objects", {"name": f"o{turn}"}),
            ("POST", "/n/properties", COLOUR),
            ("POST", "/n/tags", {"tags": [{"name": "t"}]}),
            ("POST", "/n/resource_types", {"name": "R"}),
        ]
        answers = await at_once(cloud, *adds[:2], ("DELETE", "/n", None), *adds[2:])
        assert set(statuses(answers)) <= {201, 204, 404}, answers
        assert statuses(answers)[204] == 1
    for table in ("namespace", "object", "property", "tag", "association"):
        assert await store.fetchval(f"SELECT count(*) FROM image.metadef_{table}") == 0, table


async def test_two_bootstraps_at_once_make_each_standard_namespace_once(store: Store) -> None:
    async def bootstrap() -> list[str]:
        async with store.transaction() as tx:
            return await standard.bootstrap(tx)

    first, second = await asyncio.gather(bootstrap(), bootstrap())
    assert not set(first) & set(second)
    assert len(first) + len(second) == await store.fetchval("SELECT count(*) FROM image.metadef_namespace")

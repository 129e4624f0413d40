"""Metadata definition namespaces: creating, reading, listing, changing, deleting; whose they are; how much fits."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from skybus.image.api import api
from skybus.image.metadefs import bounds, namespaces
from skybus.image.policies import RULES
from skybus.store import Store
from support.front import Answer, Client, front

ROOT = "root:p0:admin,member,reader"
ALICE = "alice:p1:member,reader"
BOB = "bob:p2:member,reader"
READER = "carol:p1:reader"
PATH = "/image/v2/metadefs/namespaces"
COLOUR: dict[str, Any] = {"title": "Colour", "type": "string", "enum": ["red", "green"]}
FULL: dict[str, Any] = {
    "namespace": "Our::Things",
    "display_name": "Things",
    "description": "What things have.",
    "visibility": "public",
    "properties": {"colour": COLOUR, "weight": {"title": "Weight", "type": "integer", "minimum": 0, "maximum": 9}},
    "objects": [
        {"name": "Wheel", "description": "Round.", "required": ["size"], "properties": {"size": COLOUR}},
        {"name": "Axle"},
    ],
    "tags": [{"name": "t2"}, {"name": "t1"}],
    "resource_type_associations": [
        {"name": "OS::Glance::Image", "prefix": "hw_"},
        {"name": "OS::Nova::Flavor", "prefix": "hw:", "properties_target": "image"},
    ],
}


async def create(cloud: Client, name: str, *, token: str = ROOT, **said: Any) -> dict[str, Any]:
    answer = await cloud.call("POST", PATH, {"namespace": name, **said}, token=token)
    assert answer.status == 201, answer
    shown: dict[str, Any] = answer.body
    return shown


async def names(cloud: Client, query: str = "", token: str = ROOT) -> list[str]:
    answer = await cloud.call("GET", f"{PATH}{query}", token=token)
    assert answer.status == 200, answer
    return [one["namespace"] for one in answer.body["namespaces"]]


async def events(store: Store) -> list[dict[str, Any]]:
    rows = await store.fetch(
        "SELECT body, project_id FROM bus.outbox WHERE type = 'skybus.image.metadef.changed.v1' ORDER BY id"
    )
    return [{**json.loads(row["body"]), "project_id": row["project_id"]} for row in rows]


async def test_a_namespace_comes_with_everything_that_was_said(cloud: Client, store: Store) -> None:
    answer = await cloud.call("POST", PATH, FULL, token=ROOT)
    assert answer.status == 201, answer
    assert answer.headers["Location"].endswith("/image/v2/metadefs/namespaces/Our::Things")
    made = answer.body
    assert made["owner"] == "p0"
    assert made["protected"] is False
    assert made["self"] == "/v2/metadefs/namespaces/Our::Things"
    assert made["schema"] == "/v2/schemas/metadefs/namespace"
    assert made["properties"] == FULL["properties"]
    assert [one["name"] for one in made["objects"]] == ["Wheel", "Axle"]
    assert made["objects"][0]["required"] == ["size"]
    assert made["tags"] == [{"name": "t2"}, {"name": "t1"}]
    assert [one["prefix"] for one in made["resource_type_associations"]] == ["hw_", "hw:"]
    shown = await cloud.call("GET", f"{PATH}/Our::Things", token=READER)
    assert shown.body == made
    assert [(one["kind"], one["change"], one["project_id"]) for one in await events(store)] == [
        ("namespace", "created", "p0")
    ]


async def test_what_was_never_said_is_left_out(cloud: Client) -> None:
    made = await create(cloud, "Bare")
    assert made["visibility"] == "private"
    left = {"display_name", "description", "properties", "objects", "tags", "resource_type_associations"}
    assert not left & set(made)


async def test_a_name_is_given_once_in_the_cloud(cloud: Client, store: Store) -> None:
    await create(cloud, "Once")
    again = await cloud.call("POST", PATH, {"namespace": "Once", "owner": "p2"}, token=ROOT)
    assert again.status == 409
    twice = {"namespace": "Twice", "tags": [{"name": "t"}, {"name": "t"}]}
    assert (await cloud.call("POST", PATH, twice, token=ROOT)).status == 409
    twice = {"namespace": "Twice", "objects": [{"name": "o"}, {"name": "o"}]}
    assert (await cloud.call("POST", PATH, twice, token=ROOT)).status == 409
    twice = {"namespace": "Twice", "resource_type_associations": [{"name": "R"}, {"name": "R"}]}
    assert (await cloud.call("POST", PATH, twice, token=ROOT)).status == 409
    assert await names(cloud) == ["Once"]
    assert await store.fetchval("SELECT count(*) FROM image.metadef_resource_type") == 0


DEEP: Any = "x"
for _ in range(200):
    DEEP = [DEEP]
BAD: list[tuple[dict[str, Any], int]] = [
    ({}, 400),
    ({"namespace": ""}, 400),
    ({"namespace": "n" * 81}, 400),
    ({"namespace": "a/b"}, 400),
    ({"namespace": "a\nb"}, 400),
    ({"namespace": "a\x00b"}, 400),
    ({"namespace": 7}, 400),
    ({"namespace": "n", "display_name": "d" * 81}, 400),
    ({"namespace": "n", "description": "d" * 501}, 400),
    ({"namespace": "n", "visibility": "shared"}, 400),
    ({"namespace": "n", "protected": "yes"}, 400),
    ({"namespace": "n", "unknown": "x"}, 400),
    ({"namespace": "n", "owner": "o" * 256}, 400),
    ({"namespace": "n", "properties": {"p": {"title": "t"}}}, 400),
    ({"namespace": "n", "properties": {"p": {"title": "t", "type": "colour"}}}, 400),
    ({"namespace": "n", "properties": {"p" * 81: COLOUR}}, 400),
    ({"namespace": "n", "properties": {"p": {**COLOUR, "default": DEEP}}}, 400),
    ({"namespace": "n", "properties": {"p": {**COLOUR, "default": {"a": 1}}}}, 400),
    ({"namespace": "n", "properties": {"p": {**COLOUR, "minimum": 10**30}}}, 400),
    ({"namespace": "n", "properties": {"p": {**COLOUR, "maxLength": -1}}}, 400),
    ({"namespace": "n", "objects": [{"description": "no name"}]}, 400),
    ({"namespace": "n", "tags": [{"name": "t" * 81}]}, 400),
    ({"namespace": "n", "resource_type_associations": [{"name": "r", "prefix": "p" * 81}]}, 400),
    ({"namespace": "n", "created_at": "2020-01-01T00:00:00Z"}, 403),
    ({"namespace": "n", "self": "/v2"}, 403),
    ({"namespace": "n", "schema": "/v2"}, 403),
]


async def test_a_bad_namespace_is_refused_and_changes_nothing(cloud: Client, store: Store) -> None:
    """Security class 16: limits on everything that is sent."""
    for body, status in BAD:
        answer = await cloud.call("POST", PATH, body, token=ROOT)
        assert answer.status == status, (str(body)[:200], answer)
    assert await store.fetchval("SELECT count(*) FROM image.metadef_namespace") == 0
    assert await events(store) == []


async def test_a_list_has_what_the_caller_may_see(cloud: Client) -> None:
    await create(cloud, "Public", visibility="public")
    await create(cloud, "Private")
    await create(cloud, "OfAlice", owner="p1", resource_type_associations=[{"name": "R", "prefix": "r_"}])
    assert await names(cloud) == ["OfAlice", "Private", "Public"]
    assert await names(cloud, token=READER) == ["OfAlice", "Public"]
    assert await names(cloud, token=BOB) == ["Public"]
    assert await names(cloud, "?visibility=private", token=ALICE) == ["OfAlice"]
    listed = (await cloud.call("GET", f"{PATH}?visibility=private", token=ALICE)).body["namespaces"][0]
    assert [one["name"] for one in listed["resource_type_associations"]] == ["R"]


async def test_a_list_is_filtered_sorted_and_paged(cloud: Client) -> None:
    for name, kind in (("b", "Image"), ("a", "Flavor"), ("d", "Image"), ("c", "Volume")):
        await create(cloud, name, resource_type_associations=[{"name": kind}], display_name=name.upper())
    assert await names(cloud) == ["c", "d", "a", "b"]
    assert await names(cloud, "?sort_dir=asc") == ["b", "a", "d", "c"]
    assert await names(cloud, "?resource_types=Image,Volume&sort_key=namespace&sort_dir=asc") == ["b", "c", "d"]
    assert await names(cloud, "?resource_types=None") == []
    query, seen = "?limit=3&sort_key=display_name&sort_dir=asc", []
    answer = await cloud.call("GET", f"{PATH}{query}", token=ROOT)
    assert answer.body["first"] == f"/v2/metadefs/namespaces{query}"
    assert answer.body["schema"] == "/v2/schemas/metadefs/namespaces"
    seen += [one["namespace"] for one in answer.body["namespaces"]]
    answer = await cloud.call("GET", f"/image{answer.body['next']}", token=ROOT)
    seen += [one["namespace"] for one in answer.body["namespaces"]]
    assert seen == ["a", "b", "c", "d"]
    assert "next" not in answer.body
    assert await names(cloud, "?limit=0") == []


async def test_a_list_refuses_what_it_does_not_know(cloud: Client) -> None:
    await create(cloud, "Private")
    for query, status in (
        ("?visibility=shared", 400),
        ("?limit=x", 400),
        ("?limit=-1", 400),
        ("?sort_dir=up", 400),
        ("?sort_key=colour", 400),
        ("?marker=nothing", 404),
        ("?resource_types=" + ",".join("r" * 101), 400),
    ):
        assert (await cloud.call("GET", f"{PATH}{query}", token=ROOT)).status == status, query
    assert (await cloud.call("GET", f"{PATH}?marker=Private", token=BOB)).status == 404


async def test_properties_are_called_as_on_the_things_of_a_resource_type(cloud: Client) -> None:
    await cloud.call("POST", PATH, FULL, token=ROOT)
    shown = (await cloud.call("GET", f"{PATH}/Our::Things?resource_type=OS::Glance::Image")).body
    assert sorted(shown["properties"]) == ["hw_colour", "hw_weight"]
    wheel = shown["objects"][0]
    assert list(wheel["properties"]) == ["hw_size"]
    assert wheel["required"] == ["hw_size"]
    plain = (await cloud.call("GET", f"{PATH}/Our::Things?resource_type=OS::Else")).body
    assert sorted(plain["properties"]) == ["colour", "weight"]


async def test_an_update_replaces_the_namespace_and_leaves_what_is_in_it(cloud: Client, store: Store) -> None:
    await cloud.call("POST", PATH, FULL, token=ROOT)
    await create(cloud, "Other")
    body = {"namespace": "Our::Stuff", "protected": True, "tags": [{"name": "ignored"}]}
    changed = await cloud.call("PUT", f"{PATH}/Our::Things", body, token=ROOT)
    assert changed.status == 200, changed
    assert changed.body["visibility"] == "private"
    assert changed.body["protected"] is True
    assert "description" not in changed.body
    assert "display_name" not in changed.body
    assert (await cloud.call("GET", f"{PATH}/Our::Things", token=ROOT)).status == 404
    shown = (await cloud.call("GET", f"{PATH}/Our::Stuff", token=ROOT)).body
    assert shown["properties"] == FULL["properties"]
    assert shown["tags"] == FULL["tags"]
    assert len(shown["objects"]) == 2
    last = (await events(store))[-1]
    assert (last["namespace"], last["old_name"], last["change"]) == ("Our::Stuff", "Our::Things", "updated")
    taken = await cloud.call("PUT", f"{PATH}/Our::Stuff", {"namespace": "Other"}, token=ROOT)
    assert taken.status == 409
    readonly = await cloud.call("PUT", f"{PATH}/Other", {"namespace": "Other", "self": "x"}, token=ROOT)
    assert readonly.status == 403


async def test_a_deleted_namespace_takes_everything_along(cloud: Client, store: Store) -> None:
    await cloud.call("POST", PATH, FULL, token=ROOT)
    assert (await cloud.call("DELETE", f"{PATH}/Our::Things", token=ROOT)).status == 204
    assert (await cloud.call("GET", f"{PATH}/Our::Things", token=ROOT)).status == 404
    for table in ("namespace", "object", "property", "tag", "association"):
        assert await store.fetchval(f"SELECT count(*) FROM image.metadef_{table}") == 0, table
    assert (await events(store))[-1]["change"] == "deleted"
    assert (await cloud.call("DELETE", f"{PATH}/Our::Things", token=ROOT)).status == 404


PARTS = ("objects/Wheel", "objects", "properties/colour", "properties", "tags/t1", "tags")


async def test_nothing_is_deleted_from_a_protected_namespace(cloud: Client, store: Store) -> None:
    made = await cloud.call("POST", PATH, {**FULL, "protected": True}, token=ROOT)
    for part in ("", *(f"/{part}" for part in (*PARTS, "resource_types/OS::Glance::Image"))):
        answer = await cloud.call("DELETE", f"{PATH}/Our::Things{part}", token=ROOT)
        assert answer.status == 403, (part, answer)
    assert (await cloud.call("GET", f"{PATH}/Our::Things", token=ROOT)).body == made.body
    assert len(await events(store)) == 1


async def test_all_of_a_kind_are_deleted_at_once(cloud: Client, store: Store) -> None:
    await cloud.call("POST", PATH, FULL, token=ROOT)
    for kind in ("objects", "properties", "tags"):
        assert (await cloud.call("DELETE", f"{PATH}/Our::Things/{kind}", token=ROOT)).status == 204
        assert kind not in (await cloud.call("GET", f"{PATH}/Our::Things", token=ROOT)).body
    assert [(one["kind"], one["name"], one["change"]) for one in (await events(store))[1:]] == [
        ("object", None, "deleted"),
        ("property", None, "deleted"),
        ("tag", None, "deleted"),
    ]


PROPERTY = {"name": "p", **COLOUR}
ASKS: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("PUT", "", {"namespace": "Our::Things"}),
    ("GET", "/objects", None),
    ("POST", "/objects", {"name": "o"}),
    ("GET", "/objects/Wheel", None),
    ("PUT", "/objects/Wheel", {"name": "Wheel"}),
    ("GET", "/properties", None),
    ("POST", "/properties", PROPERTY),
    ("GET", "/properties/colour", None),
    ("PUT", "/properties/colour", PROPERTY),
    ("GET", "/tags", None),
    ("POST", "/tags", {"tags": [{"name": "t9"}]}),
    ("POST", "/tags/t9", None),
    ("GET", "/tags/t1", None),
    ("PUT", "/tags/t1", {"name": "t9"}),
    ("GET", "/resource_types", None),
    ("POST", "/resource_types", {"name": "R"}),
    ("DELETE", "/resource_types/OS::Glance::Image", None),
    *(("DELETE", f"/{part}", None) for part in PARTS),
    ("DELETE", "", None),
]


def _every_route_is_asked() -> bool:
    wanted = {
        (route.method, route.path.count("/"))
        for route in api().routes
        if route.path.startswith("/v2/metadefs/namespaces/{")
    }
    asked = {(method, f"/v2/metadefs/namespaces/x{path}".count("/")) for method, path, _ in ASKS}
    return wanted == asked and len(ASKS) == sum(
        route.path.startswith("/v2/metadefs/namespaces/{") for route in api().routes
    )


async def _ask_all(cloud: Client, token: str) -> list[tuple[str, str, Answer]]:
    return [
        (method, path, await cloud.call(method, f"{PATH}/Our::Things{path}", body, token=token))
        for method, path, body in ASKS
    ]


async def test_somebody_elses_private_namespace_is_not_there_for_any_purpose(cloud: Client, store: Store) -> None:
    """Security class 14: a sub-resource is guarded as the namespace is."""
    assert _every_route_is_asked()
    made = await cloud.call("POST", PATH, {**FULL, "visibility": "private", "owner": "p1"}, token=ROOT)
    for method, path, answer in await _ask_all(cloud, BOB):
        assert answer.status == 404, (method, path, answer)
        assert b"colour" not in answer.data
    assert (await cloud.call("GET", f"{PATH}/Our::Things", token=ROOT)).body == made.body
    assert len(await events(store)) == 1


async def test_only_administrators_change_what_everybody_reads(cloud: Client, store: Store) -> None:
    made = await cloud.call("POST", PATH, {**FULL, "owner": "p1"}, token=ROOT)
    for token in (ALICE, READER, BOB):
        for method, path, answer in await _ask_all(cloud, token):
            assert answer.status == (200 if method == "GET" else 403), (token, method, path, answer)
        assert (await cloud.call("POST", PATH, {"namespace": "N"}, token=token)).status == 403
    for method, path, answer in await _ask_all(cloud, "none:p1:nothing"):
        assert answer.status == 403, (method, path, answer)
    assert (await cloud.call("GET", f"{PATH}/Our::Things", token=ROOT)).body == made.body
    assert len(await events(store)) == 1


@pytest.fixture
async def open_cloud(store: Store) -> AsyncIterator[Client]:
    """A gateway whose operator lets members keep namespaces of their own."""
    mine = "role:admin or (role:member and project_id:%(project_id)s)"
    rules = {name: mine if text == "rule:metadef_admin" else text for name, text in RULES.items()}
    async with front([api()], rules, {"store": store}) as client:
        yield client


async def test_an_operators_rule_speaks_of_the_owner(open_cloud: Client) -> None:
    await create(open_cloud, "Mine", token=ALICE, visibility="public")
    mine = await open_cloud.call("PUT", f"{PATH}/Mine", {"namespace": "Mine", "visibility": "public"}, token=ALICE)
    assert mine.status == 200
    assert mine.body["owner"] == "p1"
    assert (await open_cloud.call("DELETE", f"{PATH}/Mine", token=BOB)).status == 403
    planted = {"namespace": "Planted", "owner": "p2"}
    assert (await open_cloud.call("POST", PATH, planted, token=ALICE)).status == 403
    given = {"namespace": "Mine", "owner": "p2"}
    assert (await open_cloud.call("PUT", f"{PATH}/Mine", given, token=ALICE)).status == 403
    assert (await open_cloud.call("DELETE", f"{PATH}/Mine", token=ALICE)).status == 204


async def test_a_namespace_holds_so_much_and_no_more(cloud: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Security class 16: a bound on everything that can be created."""
    monkeypatch.setattr(bounds, "MOST", {"objects": 1, "properties": 1, "tags": 1, "resource types": 1})
    await create(
        cloud,
        "Full",
        objects=[{"name": "o"}],
        properties={"p": COLOUR},
        tags=[{"name": "t"}],
        resource_type_associations=[{"name": "R"}],
    )
    for path, body in (
        ("/objects", {"name": "o2"}),
        ("/properties", {**COLOUR, "name": "p2"}),
        ("/tags/t2", None),
        ("/resource_types", {"name": "R2"}),
    ):
        answer = await cloud.call("POST", f"{PATH}/Full{path}", body, token=ROOT)
        assert answer.status == 413, (path, answer)
    monkeypatch.setattr(bounds, "MAX_BYTES", 200)
    long = {"name": "o", "description": "d" * 200}
    assert (await cloud.call("PUT", f"{PATH}/Full/objects/o", long, token=ROOT)).status == 413
    long = {**COLOUR, "name": "p", "description": "d" * 200}
    assert (await cloud.call("PUT", f"{PATH}/Full/properties/p", long, token=ROOT)).status == 413


async def test_a_project_owns_so_many_namespaces_and_no_more(cloud: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "MAX_OWNED", 1)
    await create(cloud, "First", owner="p1")
    assert (await cloud.call("POST", PATH, {"namespace": "Second", "owner": "p1"}, token=ROOT)).status == 413
    await create(cloud, "Second", owner="p2")
    moved = await cloud.call("PUT", f"{PATH}/Second", {"namespace": "Second", "owner": "p1"}, token=ROOT)
    assert moved.status == 413


async def test_a_hosts_token_reads_no_definitions(cloud: Client) -> None:
    answer = await cloud.call("GET", PATH, token="0b0f0f0e-53c1-4b3b-9e8c-8d7a4f2f9f11")
    assert answer.status == 403

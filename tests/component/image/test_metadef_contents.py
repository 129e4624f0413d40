"""What is in a metadata definition namespace: objects, properties, tags, resource types; and the documents of them."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from skybus.image.metadefs import resource_types
from skybus.image.metadefs.documents_api import DOCUMENTS
from skybus.store import Store
from support.front import Answer, Client

ROOT = "root:p0:admin,member,reader"
PATH = "/image/v2/metadefs/namespaces/N"
COLOUR: dict[str, Any] = {
    "title": "Colour",
    "type": "string",
    "enum": ["red", "green"],
    "default": "red",
    "operators": ["<or>"],
}
SIZES: dict[str, Any] = {
    "name": "sizes",
    "title": "Sizes",
    "type": "array",
    "items": {"type": "integer", "enum": [1, 2]},
    "minItems": 1,
    "maxItems": 2,
    "uniqueItems": True,
    "default": [1],
}


async def ask(cloud: Client, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    return await cloud.call(method, f"{PATH}{path}", body, token=ROOT, headers=headers)


@pytest.fixture(autouse=True)
async def namespace(cloud: Client) -> None:
    made = await cloud.call("POST", "/image/v2/metadefs/namespaces", {"namespace": "N"}, token=ROOT)
    assert made.status == 201, made


async def changes(store: Store) -> list[tuple[str, str, str | None, str | None]]:
    """(kind, change, name, old name) of every event but that of the namespace."""
    sql = "SELECT body FROM bus.outbox WHERE type = 'skybus.image.metadef.changed.v1' ORDER BY id"
    bodies = [json.loads(row["body"]) for row in await store.fetch(sql)]
    return [(one["kind"], one["change"], one.get("name"), one.get("old_name")) for one in bodies[1:]]


async def test_an_object_is_created_shown_replaced_and_deleted(cloud: Client, store: Store) -> None:
    said = {"name": "Wheel", "description": "Round.", "required": ["size"], "properties": {"size": COLOUR}}
    made = await ask(cloud, "POST", "/objects", said)
    assert made.status == 201, made
    assert {key: made.body[key] for key in said} == said
    assert made.body["self"] == "/v2/metadefs/namespaces/N/objects/Wheel"
    assert made.body["schema"] == "/v2/schemas/metadefs/object"
    assert (await ask(cloud, "GET", "/objects/Wheel")).body == made.body
    assert (await ask(cloud, "POST", "/objects", said)).status == 409
    changed = await ask(cloud, "PUT", "/objects/Wheel", {"name": "Round Thing"})
    assert changed.status == 200, changed
    assert "description" not in changed.body
    assert changed.body["properties"] == {}
    assert changed.body["required"] == []
    assert (await ask(cloud, "GET", "/objects/Wheel")).status == 404
    assert (await ask(cloud, "DELETE", "/objects/Round%20Thing")).status == 204
    assert (await ask(cloud, "DELETE", "/objects/Round%20Thing")).status == 404
    assert (await ask(cloud, "PUT", "/objects/Wheel", {"name": "Wheel"})).status == 404
    assert await changes(store) == [
        ("object", "created", "Wheel", None),
        ("object", "updated", "Round Thing", "Wheel"),
        ("object", "deleted", "Round Thing", None),
    ]


async def test_an_object_does_not_take_the_name_of_another(cloud: Client) -> None:
    for name in "ab":
        await ask(cloud, "POST", "/objects", {"name": name})
    assert (await ask(cloud, "PUT", "/objects/a", {"name": "b"})).status == 409
    assert (await ask(cloud, "PUT", "/objects/a", {"name": "a", "description": "same name"})).status == 200


async def test_objects_are_listed_in_order_and_in_pages(cloud: Client) -> None:
    for name in "bca":
        await ask(cloud, "POST", "/objects", {"name": name})

    async def listed(query: str = "") -> list[str]:
        answer = await ask(cloud, "GET", f"/objects{query}")
        assert answer.body["schema"] == "v2/schemas/metadefs/objects"
        return [one["name"] for one in answer.body["objects"]]

    assert await listed() == ["a", "c", "b"]
    assert await listed("?sort_key=name&sort_dir=asc&limit=2") == ["a", "b"]
    assert await listed("?sort_key=name&sort_dir=asc&limit=2&marker=b") == ["c"]
    for query, status in (("?limit=0", 400), ("?limit=x", 400), ("?sort_key=size", 400), ("?marker=z", 404)):
        assert (await ask(cloud, "GET", f"/objects{query}")).status == status, query


async def test_a_property_is_created_shown_replaced_and_deleted(cloud: Client, store: Store) -> None:
    made = await ask(cloud, "POST", "/properties", SIZES)
    assert made.status == 201, made
    assert made.body == SIZES
    assert (await ask(cloud, "GET", "/properties/sizes")).body == SIZES
    assert (await ask(cloud, "POST", "/properties", SIZES)).status == 409
    changed = await ask(cloud, "PUT", "/properties/sizes", {"name": "colour", **COLOUR})
    assert changed.status == 200, changed
    assert changed.body == {"name": "colour", **COLOUR}
    listed = await ask(cloud, "GET", "/properties")
    assert listed.body == {"properties": {"colour": COLOUR}}
    await ask(cloud, "POST", "/properties", SIZES)
    assert (await ask(cloud, "PUT", "/properties/sizes", {"name": "colour", **COLOUR})).status == 409
    assert (await ask(cloud, "DELETE", "/properties/colour")).status == 204
    for method, body in (("GET", None), ("DELETE", None), ("PUT", {"name": "colour", **COLOUR})):
        assert (await ask(cloud, method, "/properties/colour", body)).status == 404, method
    assert await changes(store) == [
        ("property", "created", "sizes", None),
        ("property", "updated", "colour", "sizes"),
        ("property", "created", "sizes", None),
        ("property", "deleted", "colour", None),
    ]


@pytest.mark.parametrize(
    ("said", "shown"),
    [(100, "100"), (1.5, "1.5"), (True, "True"), ("text", "text"), ([1, "a"], [1, "a"]), (None, None)],
)
async def test_a_default_is_text_whatever_the_type_as_in_glance(cloud: Client, said: Any, shown: Any) -> None:
    plain = {"title": "P", "type": "integer"}
    made = await ask(cloud, "POST", "/properties", {"name": "p", **plain, "default": said})
    assert made.body.get("default") == shown
    made = await ask(cloud, "POST", "/objects", {"name": "o", "properties": {"p": {**plain, "default": said}}})
    assert made.body["properties"]["p"].get("default") == shown
    whole = {"namespace": "W", "properties": {"p": {**plain, "default": said, "name": "ignored"}}}
    made = await cloud.call("POST", "/image/v2/metadefs/namespaces", whole, token=ROOT)
    assert made.body["properties"]["p"] == {**plain, **({} if shown is None else {"default": shown})}


async def test_a_property_is_found_by_its_name_on_a_resource_type(cloud: Client) -> None:
    await ask(cloud, "POST", "/properties", SIZES)
    await ask(cloud, "POST", "/resource_types", {"name": "Image", "prefix": "hw_"})
    await ask(cloud, "POST", "/resource_types", {"name": "Plain"})
    found = await ask(cloud, "GET", "/properties/hw_sizes?resource_type=Image")
    assert found.status == 200
    assert found.body["name"] == "sizes"
    for path in ("sizes?resource_type=Image", "sizes?resource_type=Plain", "hw_sizes?resource_type=Other"):
        assert (await ask(cloud, "GET", f"/properties/{path}")).status == 404, path


async def test_what_only_the_cloud_says_is_refused(cloud: Client) -> None:
    for method, path, body in (
        ("POST", "/objects", {"name": "o", "self": "x"}),
        ("POST", "/objects", {"name": "o", "updated_at": "x"}),
        ("POST", "/properties", {**SIZES, "created_at": "x"}),
        ("POST", "/tags", {"tags": [], "created_at": "x"}),
        ("POST", "/resource_types", {"name": "R", "created_at": "x"}),
    ):
        assert (await ask(cloud, method, path, body)).status == 403, (path, body)


BAD: list[tuple[str, dict[str, Any]]] = [
    ("/objects", {}),
    ("/objects", {"name": "o" * 81}),
    ("/objects", {"name": "o", "required": ["a", "a"]}),
    ("/objects", {"name": "o", "properties": {"p": {"title": "no type"}}}),
    ("/objects", {"name": "o", "colour": 1}),
    ("/properties", {"name": "p", "title": "t"}),
    ("/properties", {"title": "t", "type": "string"}),
    ("/properties", {**SIZES, "items": {}}),
    ("/properties", {**SIZES, "items": {"type": "array", "items": {}}}),
    ("/properties", {**SIZES, "enum": [["nested"]]}),
    ("/properties", {**SIZES, "enum": ["x"] * 1025}),
    ("/properties", {**SIZES, "pattern": "p" * 1025}),
    ("/properties", {**SIZES, "name": "a\x00b"}),
    ("/tags", {}),
    ("/tags", {"tags": [{}]}),
    ("/tags", {"tags": [{"name": "a/b"}]}),
    ("/tags", {"tags": [{"name": "t"}] * 1025}),
    ("/tags/" + "t" * 81, {}),
    ("/tags/a%0Ab", {}),
    ("/resource_types", {"prefix": "p"}),
    ("/resource_types", {"name": "r" * 81}),
]


async def test_bad_contents_are_refused_and_change_nothing(cloud: Client, store: Store) -> None:
    """Security class 16: limits on everything that is sent."""
    before = (await ask(cloud, "GET", "")).body
    for path, body in BAD:
        answer = await ask(cloud, "POST", path, body)
        assert answer.status == 400, (path[:40], str(body)[:120], answer)
    assert (await ask(cloud, "GET", "")).body == before
    assert await changes(store) == []


async def test_tags_replace_those_that_are_there_unless_they_are_appended(cloud: Client, store: Store) -> None:
    async def said(*names: str, **headers: str) -> int:
        body = {"tags": [{"name": name} for name in names]}
        answer = await ask(cloud, "POST", "/tags", body, **headers)
        assert answer.status != 201 or answer.body == body
        return answer.status

    async def there(query: str = "?sort_key=created_at&sort_dir=asc") -> list[str]:
        return [one["name"] for one in (await ask(cloud, "GET", f"/tags{query}")).body["tags"]]

    assert await said("b", "a") == 201
    assert await there() == ["b", "a"]
    assert await there("") == ["a", "b"]
    assert await said("d", "c") == 201
    assert await there() == ["d", "c"]
    assert await said("e", **{"X-Openstack-Append": "True"}) == 201
    assert await there() == ["d", "c", "e"]
    assert await said("e", **{"X-Openstack-Append": "True"}) == 409
    assert await said("f", "f") == 409
    assert await said() == 201
    assert await there("?limit=2&sort_key=name&sort_dir=asc") == ["c", "d"]
    assert await there("?limit=2&sort_key=name&sort_dir=asc&marker=d") == ["e"]
    assert (await ask(cloud, "GET", "/tags?marker=z")).status == 404
    assert await changes(store) == [
        ("tag", "updated", None, None),
        ("tag", "updated", None, None),
        ("tag", "created", None, None),
    ]


async def test_a_tag_is_created_renamed_and_deleted(cloud: Client, store: Store) -> None:
    made = await ask(cloud, "POST", "/tags/one")
    assert made.status == 201
    assert made.body["name"] == "one"
    assert made.body["created_at"] == made.body["updated_at"]
    assert (await ask(cloud, "GET", "/tags/one")).body["name"] == "one"
    assert (await ask(cloud, "POST", "/tags/one")).status == 409
    await ask(cloud, "POST", "/tags/other")
    assert (await ask(cloud, "PUT", "/tags/one", {"name": "other"})).status == 409
    assert (await ask(cloud, "PUT", "/tags/one", {"name": "two"})).body["name"] == "two"
    assert (await ask(cloud, "GET", "/tags/one")).status == 404
    assert (await ask(cloud, "DELETE", "/tags/two")).status == 204
    assert (await ask(cloud, "DELETE", "/tags/two")).status == 404
    assert (await changes(store))[2:] == [("tag", "updated", "two", "one"), ("tag", "deleted", "two", None)]


async def test_a_resource_type_comes_into_being_with_its_association_and_stays(cloud: Client, store: Store) -> None:
    made = await ask(cloud, "POST", "/resource_types", {"name": "OS::A", "prefix": "a:", "properties_target": "image"})
    assert made.status == 201, made
    assert (made.body["name"], made.body["prefix"], made.body["properties_target"]) == ("OS::A", "a:", "image")
    assert (await ask(cloud, "POST", "/resource_types", {"name": "OS::A"})).status == 409
    listed = await ask(cloud, "GET", "/resource_types")
    assert listed.body == {"resource_type_associations": [made.body]}
    assert (await ask(cloud, "DELETE", "/resource_types/OS::A")).status == 204
    assert (await ask(cloud, "DELETE", "/resource_types/OS::A")).status == 404
    assert (await ask(cloud, "GET", "/resource_types")).body == {"resource_type_associations": []}
    types = await cloud.call("GET", "/image/v2/metadefs/resource_types")
    assert [one["name"] for one in types.body["resource_types"]] == ["OS::A"]
    assert await changes(store) == [
        ("resource_type", "created", "OS::A", None),
        ("resource_type", "deleted", "OS::A", None),
    ]


async def test_there_are_so_many_resource_types_and_no_more(cloud: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Security class 16: types are never removed, so their number is bounded."""
    monkeypatch.setattr(resource_types, "MAX_TYPES", 1)
    assert (await ask(cloud, "POST", "/resource_types", {"name": "first"})).status == 201
    assert (await ask(cloud, "POST", "/resource_types", {"name": "second"})).status == 413


async def test_every_document_is_a_schema_that_our_own_answers_keep(cloud: Client) -> None:
    await ask(cloud, "POST", "/objects", {"name": "Wheel", "required": ["size"], "properties": {"size": COLOUR}})
    await ask(cloud, "POST", "/properties", SIZES)
    await ask(cloud, "POST", "/tags/one")
    await ask(cloud, "POST", "/resource_types", {"name": "OS::A", "prefix": "a:"})
    answers = {
        "namespace": PATH,
        "namespaces": "/image/v2/metadefs/namespaces",
        "object": f"{PATH}/objects/Wheel",
        "objects": f"{PATH}/objects",
        "property": f"{PATH}/properties/sizes",
        "properties": f"{PATH}/properties",
        "tag": f"{PATH}/tags/one",
        "tags": f"{PATH}/tags",
        "resource_types": f"{PATH}/resource_types",
    }
    assert {*answers, "resource_type"} == set(DOCUMENTS)
    for name in DOCUMENTS:
        document = await cloud.call("GET", f"/image/v2/schemas/metadefs/{name}")
        assert document.status == 200
        jsonschema.Draft4Validator.check_schema(document.body)
        expected = {"resource_type": "resource_type_association", "resource_types": "resource_type_associations"}
        assert document.body["name"] == expected.get(name, name)
        shown = (
            (await ask(cloud, "GET", "/resource_types")).body["resource_type_associations"][0]
            if name == "resource_type"
            else (await cloud.call("GET", answers[name], token=ROOT)).body
        )
        jsonschema.validate(shown, document.body, jsonschema.Draft4Validator)
    assert (await cloud.call("GET", "/image/v2/schemas/metadefs/image")).status == 404


async def test_the_other_documents_are_there(cloud: Client) -> None:
    for name in ("image", "images", "member", "members", "task", "tasks"):
        document = await cloud.call("GET", f"/image/v2/schemas/{name}")
        assert document.status == 200, name
        assert document.body["name"] == name
        jsonschema.Draft4Validator.check_schema(document.body)

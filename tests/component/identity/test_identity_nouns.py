"""Users, projects, domains, groups, roles, the catalog: made, shown, listed, changed, deleted."""

from __future__ import annotations

from typing import Any

import pytest
from identity_cloud import PASSWORD, Cloud

from skybus.identity import bootstrap
from skybus.store import Store

NOUNS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("user", {"email": "a@b.example", "description": "x"}, {"description": "y", "enabled": False}),
    ("project", {"description": "x", "tags": ["b", "a"]}, {"description": "y", "enabled": False}),
    ("domain", {"description": "x"}, {"description": "y", "enabled": False}),
    ("group", {"description": "x"}, {"description": "y"}),
    ("role", {"description": "x"}, {"description": "y"}),
    ("service", {"type": "thing", "description": "x"}, {"description": "y", "enabled": False}),
]


@pytest.mark.parametrize(("noun", "first", "then"), NOUNS, ids=[noun for noun, _, _ in NOUNS])
async def test_a_noun_lives_from_post_to_delete(cloud: Cloud, noun: str, first: Any, then: Any) -> None:
    made = await cloud.made(noun, **first)
    path = f"/{noun}s/{made['id']}"
    assert made["links"]["self"] == f"{cloud.client.url}/identity/v3{path}"
    assert {key: made[key] for key in first if key != "tags"} == {k: v for k, v in first.items() if k != "tags"}
    shown = await cloud.call("GET", path)
    assert (shown.status, shown.body[noun]) == (200, made)
    assert (await cloud.call("HEAD", path)).status == 200
    listed = await cloud.call("GET", f"/{noun}s")
    assert made in listed.body[f"{noun}s"]
    assert set(listed.body["links"]) == {"self", "previous", "next"}
    named = await cloud.call("GET", f"/{noun}s?name={made['name']}")
    assert named.body[f"{noun}s"] == [made]
    changed = await cloud.call("PATCH", path, {noun: then})
    assert (changed.status, changed.body[noun]) == (200, {**made, **then})
    assert (await cloud.call("DELETE", path)).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        gone = await cloud.call(method, path, {noun: then} if method == "PATCH" else None)
        assert gone.status == 404, (method, gone)
        assert gone.body["error"]["code"] == 404


async def test_a_name_is_taken_once(cloud: Cloud) -> None:
    for noun in ("user", "project", "domain", "group", "role"):
        first, second = await cloud.made(noun), await cloud.made(noun)
        assert (await cloud.call("POST", f"/{noun}s", {noun: {"name": first["name"]}})).status == 409
        assert (await cloud.call("PATCH", f"/{noun}s/{second['id']}", {noun: {"name": first["name"]}})).status == 409
        assert (await cloud.call("GET", f"/{noun}s/{second['id']}")).body[noun]["name"] == second["name"]


async def test_bad_attributes_are_refused(cloud: Cloud) -> None:
    """Security class 16."""
    wrong: list[Any] = [{}, {"name": ""}, {"name": "  "}, {"name": "x" * 10_000}, {"name": 7}, {"name": "a\x00b"}]
    wrong += [{"name": None}, {"name": "x", "enabled": "perhaps", "description": 7}, [], "x", None]
    for noun in ("user", "project", "domain", "group", "role"):
        for body in wrong:
            answer = await cloud.call("POST", f"/{noun}s", {noun: body})
            assert answer.status == 400, (noun, body)


async def test_attributes_that_nobody_knows_are_kept_and_do_not_grow_without_end(cloud: Cloud) -> None:
    """Security class 16."""
    for noun in ("user", "project", "domain", "group", "role", "service"):
        made = await cloud.made(noun, colour="red", **({"type": "x"} if noun == "service" else {}))
        path = f"/{noun}s/{made['id']}"
        assert made["colour"] == "red"
        statuses = []
        for turn in range(3):
            more = {f"key-{turn}-{number}": number for number in range(30)}
            statuses.append((await cloud.call("PATCH", path, {noun: more})).status)
        assert statuses == [200, 200, 400], noun
        full = [(await cloud.call("PATCH", path, {noun: {f"key-0-{turn}": "x" * 60_000}})).status for turn in range(3)]
        assert full == [200, 200, 400], noun
        assert (await cloud.call("GET", path)).body[noun]["colour"] == "red"


async def test_a_bad_id_is_not_found(cloud: Cloud) -> None:
    for noun in ("user", "project", "domain", "group", "role", "service", "endpoint", "region"):
        for bad in ("..%2f..", "x" * 300, "%F0%9F%92%A9", "'--", "0" * 32):
            assert (await cloud.call("GET", f"/{noun}s/{bad}")).status == 404, (noun, bad)
        for bad in ("%00", "a%00b"):
            assert (await cloud.call("GET", f"/{noun}s/{bad}")).status == 400, (noun, bad)


async def test_a_bad_query_is_a_bad_request(cloud: Cloud) -> None:
    for query in ("name=%00", "marker=%00", "limit=-1", "limit=x", "domain_id=%00", "name__contains=%00"):
        assert (await cloud.call("GET", f"/users?{query}")).status == 400, query


async def test_lists_page_by_key_and_filter_inexactly(cloud: Cloud) -> None:
    made = [await cloud.made("user", name=f"page_{number}%") for number in range(5)]
    url, seen = "/users?name__startswith=page_&limit=2", []
    while url:
        body = (await cloud.call("GET", url)).body
        seen += [user["id"] for user in body["users"]]
        url = (body["links"]["next"] or "").removeprefix(cloud.client.url + "/identity/v3")
    assert seen == [user["id"] for user in made]
    hits = await cloud.call("GET", "/users?name__icontains=PAGE_3%25")
    assert [user["id"] for user in hits.body["users"]] == [made[3]["id"]]
    assert (await cloud.call("GET", "/users?name__contains=%25%25")).body["users"] == []


async def test_a_project_hangs_below_another_in_the_same_domain(cloud: Cloud) -> None:
    domain = await cloud.made("domain")
    parent = await cloud.made("project", domain_id=domain["id"])
    child = await cloud.made("project", parent_id=parent["id"])
    assert (parent["parent_id"], child["parent_id"], child["domain_id"]) == (domain["id"], parent["id"], domain["id"])
    assert (await cloud.call("DELETE", f"/projects/{parent['id']}")).status == 403
    wrong = await cloud.call(
        "POST", "/projects", {"project": {"name": "x", "parent_id": parent["id"], "domain_id": "default"}}
    )
    assert wrong.status == 400
    tree = await cloud.call("GET", f"/projects/{parent['id']}?subtree_as_ids&parents_as_ids")
    assert tree.body["project"]["subtree"] == {child["id"]: None}
    assert tree.body["project"]["parents"] == {domain["id"]: None}
    assert (await cloud.call("POST", "/projects", {"project": {"name": "x", "parent_id": "0" * 32}})).status == 400
    assert (await cloud.call("POST", "/projects", {"project": {"name": "x", "domain_id": "0" * 32}})).status == 400


async def test_projects_do_not_nest_without_end(cloud: Cloud) -> None:
    """Security class 16."""
    parent, depth = await cloud.made("project"), 1
    while True:
        answer = await cloud.call("POST", "/projects", {"project": {"name": f"d{depth}", "parent_id": parent["id"]}})
        if answer.status != 201:
            break
        parent, depth = answer.body["project"], depth + 1
        assert depth < 10
    assert answer.status == 403


async def test_a_domain_goes_when_disabled_with_all_that_is_in_it(cloud: Cloud) -> None:
    domain = await cloud.made("domain")
    parent = await cloud.made("project", domain_id=domain["id"])
    await cloud.made("project", parent_id=parent["id"])
    user = await cloud.made("user", domain_id=domain["id"], password=PASSWORD)
    assert (await cloud.call("DELETE", f"/domains/{domain['id']}")).status == 403
    await cloud.call("PATCH", f"/domains/{domain['id']}", {"domain": {"enabled": False}})
    assert (await cloud.password(user["id"])).status == 401
    assert (await cloud.call("DELETE", f"/domains/{domain['id']}")).status == 204
    assert (await cloud.call("GET", f"/users/{user['id']}")).status == 404
    assert (await cloud.call("GET", f"/projects/{parent['id']}")).status == 404


async def test_tags_are_put_listed_filtered_and_removed(cloud: Cloud) -> None:
    project = await cloud.made("project")
    path = f"/projects/{project['id']}/tags"
    assert (await cloud.call("PUT", path + "/red")).status == 201
    assert (await cloud.call("PUT", path, {"tags": ["red", "blue"]})).status == 200
    assert (await cloud.call("GET", path)).body["tags"] == ["blue", "red"]
    assert [p["id"] for p in (await cloud.call("GET", "/projects?tags=red,blue")).body["projects"]] == [project["id"]]
    assert project["id"] not in [p["id"] for p in (await cloud.call("GET", "/projects?not-tags=red")).body["projects"]]
    assert (await cloud.call("DELETE", path + "/red")).status == 204
    assert (await cloud.call("HEAD", path + "/red")).status == 404
    assert (await cloud.call("GET", path + "/blue")).status == 204
    assert (await cloud.call("DELETE", path)).status == 204


async def test_members_of_a_group_are_listed_from_both_sides(cloud: Cloud) -> None:
    group, user = await cloud.made("group"), await cloud.made("user")
    path = f"/groups/{group['id']}/users/{user['id']}"
    assert (await cloud.call("HEAD", path)).status == 404
    assert (await cloud.call("PUT", path)).status == 204
    assert (await cloud.call("HEAD", path)).status == 204
    assert (await cloud.call("GET", f"/groups/{group['id']}/users")).body["users"] == [user]
    mine = (await cloud.call("GET", f"/users/{user['id']}/groups")).body["groups"]
    assert [one["id"] for one in mine] == [group["id"]]
    assert (await cloud.call("PUT", f"/groups/{group['id']}/users/{'0' * 32}")).status == 404


async def test_endpoints_appear_in_the_catalog_and_go_from_it(cloud: Cloud) -> None:
    region = await cloud.call("POST", "/regions", {"region": {"id": "Two", "description": "second"}})
    assert region.status == 201
    service = await cloud.made("service", type="object-store", name="swift")
    asked = {
        "service_id": service["id"],
        "interface": "public",
        "region_id": "Two",
        "url": "http://o/v1/AUTH_%(project_id)s",
    }
    endpoint = await cloud.call("POST", "/endpoints", {"endpoint": asked})
    assert endpoint.status == 201
    token = await cloud.token(cloud.admin_id, cloud.project_id)
    catalog = (await cloud.call("GET", "/auth/catalog", token=token)).body["catalog"]
    urls = [e["url"] for s in catalog if s["type"] == "object-store" for e in s["endpoints"]]
    assert urls == [f"http://o/v1/AUTH_{cloud.project_id}"]
    assert (await cloud.call("DELETE", "/regions/Two")).status == 403
    path = f"/endpoints/{endpoint.body['endpoint']['id']}"
    off = await cloud.call("PATCH", path, {"endpoint": {"enabled": False}})
    assert off.body["endpoint"]["enabled"] is False
    catalog = (await cloud.call("GET", "/auth/catalog", token=token)).body["catalog"]
    assert [s["endpoints"] for s in catalog if s["type"] == "object-store"] == [[]]
    assert (await cloud.call("DELETE", f"/services/{service['id']}")).status == 204
    assert (await cloud.call("GET", path)).status == 404
    assert (await cloud.call("DELETE", "/regions/Two")).status == 204
    for wrong in ({**asked, "service_id": "0" * 32}, {**asked, "interface": "secret"}, {**asked, "url": "nowhere"}):
        assert (await cloud.call("POST", "/endpoints", {"endpoint": wrong})).status == 400


async def test_a_region_is_not_its_own_grandparent(cloud: Cloud) -> None:
    for one, parent in (("a", None), ("b", "a"), ("c", "b")):
        assert (await cloud.call("POST", "/regions", {"region": {"id": one, "parent_region_id": parent}})).status == 201
    assert (await cloud.call("PATCH", "/regions/a", {"region": {"parent_region_id": "c"}})).status == 400
    assert [r["id"] for r in (await cloud.call("GET", "/regions?parent_region_id=a")).body["regions"]] == ["b"]


async def test_bootstrap_again_changes_nothing_and_repairs_what_is_lost(cloud: Cloud, store: Store) -> None:
    services = (await cloud.call("GET", "/services")).body["services"]
    endpoints = (await cloud.call("GET", "/endpoints")).body["endpoints"]
    await cloud.call("DELETE", f"/endpoints/{endpoints[0]['id']}")
    for _ in range(2):
        async with store.transaction() as tx:
            again = await bootstrap(tx, admin_password=PASSWORD, public_url="http://cloud.test", rounds=4)
            published = [post.envelope.type for post in tx.posts]
    assert (again.user_id, again.project_id) == (cloud.admin_id, cloud.project_id)
    assert published == []
    assert await cloud.works(cloud.admin_token)
    assert (await cloud.call("GET", "/services")).body["services"] == services
    key = lambda endpoint: endpoint["id"]  # noqa: E731 - read once below
    assert sorted((await cloud.call("GET", "/endpoints")).body["endpoints"], key=key) == sorted(endpoints, key=key)
    async with store.transaction() as tx:
        await bootstrap(tx, admin_password="changed", public_url="https://other.test", rounds=4)
    assert (await cloud.password(cloud.admin_id)).status == 401
    assert (await cloud.password(cloud.admin_id, "changed")).status == 201

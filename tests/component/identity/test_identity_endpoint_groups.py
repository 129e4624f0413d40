"""What projects are given of the catalog: endpoints one by one, and groups of them."""

from __future__ import annotations

from typing import Any

from identity_cloud import Cloud

NONE = "0" * 32
FILTER = "/OS-EP-FILTER"


async def endpoint(cloud: Cloud, service: Any, interface: str = "public", **more: Any) -> Any:
    """A new endpoint of a service."""
    asked = {"service_id": service["id"], "interface": interface, "url": f"http://{interface}.example/v1", **more}
    answer = await cloud.call("POST", "/endpoints", {"endpoint": asked})
    assert answer.status == 201, answer
    return answer.body["endpoint"]


async def group(cloud: Cloud, **filters: Any) -> Any:
    """A new endpoint group."""
    asked = {"name": "a group", "description": "for some", "filters": filters}
    answer = await cloud.call("POST", f"{FILTER}/endpoint_groups", {"endpoint_group": asked})
    assert answer.status == 201, answer
    return answer.body["endpoint_group"]


async def in_catalog(cloud: Cloud, token: str) -> set[str]:
    """The ids of the endpoints in a token's catalog."""
    services = (await cloud.call("GET", "/auth/catalog", token=token)).body["catalog"]
    return {one["id"] for service in services for one in service["endpoints"]}


async def listed(cloud: Cloud, path: str, collection: str) -> list[str]:
    """The ids in a list."""
    answer = await cloud.call("GET", FILTER + path)
    assert answer.status == 200, answer
    return [one["id"] for one in answer.body[collection]]


async def test_an_endpoint_group_lives_from_post_to_delete(cloud: Cloud) -> None:
    made = await group(cloud, interface="public", region_id="RegionOne")
    path = f"{FILTER}/endpoint_groups/{made['id']}"
    assert made["links"]["self"] == f"{cloud.client.url}/identity/v3{path}"
    assert (await cloud.call("GET", path)).body["endpoint_group"] == made
    assert (await cloud.call("HEAD", path)).status == 200
    assert (await cloud.call("GET", f"{FILTER}/endpoint_groups?name=a+group")).body["endpoint_groups"] == [made]
    assert (await cloud.call("GET", f"{FILTER}/endpoint_groups?name=b")).body["endpoint_groups"] == []
    then = {"name": "other", "filters": {"interface": "internal"}}
    changed = await cloud.call("PATCH", path, {"endpoint_group": then})
    assert (changed.status, changed.body["endpoint_group"]) == (200, {**made, **then})
    assert (await cloud.call("DELETE", path)).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        body = {"endpoint_group": then} if method == "PATCH" else None
        assert (await cloud.call(method, path, body)).status == 404


async def test_an_endpoint_group_needs_filters_that_an_endpoint_can_meet(cloud: Cloud) -> None:
    for filters in (None, {}, {"url": "x"}, {"interface": "secret"}, {"service_id": 7}, []):
        asked = {"endpoint_group": {"name": "x", "filters": filters}}
        assert (await cloud.call("POST", f"{FILTER}/endpoint_groups", asked)).status == 400, filters
    assert (await cloud.call("POST", f"{FILTER}/endpoint_groups", {"endpoint_group": {"name": "x"}})).status == 400


async def test_a_project_sees_all_endpoints_until_it_is_given_some(cloud: Cloud) -> None:
    service = await cloud.made("service", type="thing")
    mine, other = await endpoint(cloud, service), await endpoint(cloud, service, "internal")
    _, project, token = await cloud.member()
    _, _, stranger = await cloud.member()
    everything = await in_catalog(cloud, token)
    assert {mine["id"], other["id"]} < everything
    one = f"{FILTER}/projects/{project['id']}/endpoints/{mine['id']}"
    assert (await cloud.call("HEAD", one)).status == 404
    assert [(await cloud.call(method, one)).status for method in ("PUT", "PUT", "HEAD", "GET")] == [204] * 4
    assert await in_catalog(cloud, token) == {mine["id"]}
    assert await in_catalog(cloud, stranger) == everything
    fresh = await cloud.call("GET", "/auth/tokens", headers={"X-Subject-Token": token})
    assert [service["type"] for service in fresh.body["token"]["catalog"]] == ["thing"]
    assert await listed(cloud, f"/projects/{project['id']}/endpoints", "endpoints") == [mine["id"]]
    assert await listed(cloud, f"/endpoints/{mine['id']}/projects", "projects") == [project["id"]]
    disabled = {"endpoint": {"enabled": False}}
    assert (await cloud.call("PATCH", f"/endpoints/{mine['id']}", disabled)).status == 200
    assert await in_catalog(cloud, token) == set()
    assert (await cloud.call("DELETE", one)).status == 204
    assert (await cloud.call("DELETE", one)).status == 404
    assert await in_catalog(cloud, token) == everything - {mine["id"]}


async def test_a_project_is_given_the_endpoints_that_a_group_has_at_any_time(cloud: Cloud) -> None:
    service = await cloud.made("service", type="thing")
    public = await endpoint(cloud, service)
    made = await group(cloud, service_id=service["id"], interface="public")
    _, project, token = await cloud.member()
    one = f"{FILTER}/endpoint_groups/{made['id']}/projects/{project['id']}"
    assert (await cloud.call("GET", one)).status == 404
    assert (await cloud.call("PUT", one)).status == 204
    shown = (await cloud.call("GET", one)).body["project_endpoint_group"]
    assert (shown["endpoint_group_id"], shown["project_id"]) == (made["id"], project["id"])
    assert await in_catalog(cloud, token) == {public["id"]}
    later = await endpoint(cloud, service, region="elsewhere")
    await endpoint(cloud, service, "admin")
    both = sorted((public["id"], later["id"]))
    assert await in_catalog(cloud, token) == set(both)
    assert await listed(cloud, f"/endpoint_groups/{made['id']}/endpoints", "endpoints") == both
    assert await listed(cloud, f"/projects/{project['id']}/endpoints", "endpoints") == both
    assert await listed(cloud, f"/projects/{project['id']}/endpoint_groups", "endpoint_groups") == [made["id"]]
    assert await listed(cloud, f"/endpoint_groups/{made['id']}/projects", "projects") == [project["id"]]
    regional = {"endpoint_group": {"filters": {"region_id": "elsewhere"}}}
    assert (await cloud.call("PATCH", f"{FILTER}/endpoint_groups/{made['id']}", regional)).status == 200
    assert await in_catalog(cloud, token) == {later["id"]}
    assert (await cloud.call("DELETE", one)).status == 204
    assert (await cloud.call("DELETE", one)).status == 404
    assert len(await in_catalog(cloud, token)) > 2


async def test_gifts_go_with_what_they_join(cloud: Cloud) -> None:
    service = await cloud.made("service", type="thing")
    mine, project = await endpoint(cloud, service), await cloud.made("project")
    made = await group(cloud, interface="public")
    for path in (
        f"/projects/{project['id']}/endpoints/{mine['id']}",
        f"/endpoint_groups/{made['id']}/projects/{project['id']}",
    ):
        assert (await cloud.call("PUT", FILTER + path)).status == 204
    assert (await cloud.call("DELETE", f"/projects/{project['id']}")).status == 204
    assert await listed(cloud, f"/endpoint_groups/{made['id']}/projects", "projects") == []
    assert await listed(cloud, f"/endpoints/{mine['id']}/projects", "projects") == []


async def test_what_is_not_there_can_be_given_to_nobody(cloud: Cloud) -> None:
    made, project = await group(cloud, interface="public"), await cloud.made("project")
    service = await cloud.made("service", type="thing")
    mine = await endpoint(cloud, service)
    for path in (
        f"/projects/{NONE}/endpoints/{mine['id']}",
        f"/projects/{project['id']}/endpoints/{NONE}",
        f"/endpoint_groups/{NONE}/projects/{project['id']}",
        f"/endpoint_groups/{made['id']}/projects/{NONE}",
    ):
        for method in ("PUT", "GET", "DELETE"):
            assert (await cloud.call(method, FILTER + path)).status == 404, (method, path)
    for path in (f"/projects/{NONE}/endpoints", f"/projects/{NONE}/endpoint_groups", f"/endpoints/{NONE}/projects"):
        assert (await cloud.call("GET", FILTER + path)).status == 404


async def test_only_administrators_give_and_only_they_and_readers_of_the_system_look(cloud: Cloud) -> None:
    _, project, member = await cloud.member()
    reader = await cloud.made("user", password="correct horse battery staple")
    path = f"/system/users/{reader['id']}/roles/{cloud.roles['reader']}"
    assert (await cloud.call("PUT", path)).status == 204
    system = await cloud.token(reader["id"], scope={"system": {"all": True}})
    made = await group(cloud, interface="public")
    give = f"{FILTER}/endpoint_groups/{made['id']}/projects/{project['id']}"
    look = f"{FILTER}/endpoint_groups"
    assert [(await cloud.call("PUT", give, token=token)).status for token in (member, system)] == [403, 403]
    assert [(await cloud.call("GET", look, token=token)).status for token in (member, system)] == [403, 200]

"""Regions, services and endpoints under each other, and what callers see of them."""

from __future__ import annotations

import asyncio
from typing import Any

from identity_cloud import PASSWORD, Cloud

NONE = "0" * 32


async def endpoint(cloud: Cloud, service: Any, **attributes: Any) -> Any:
    """The answer to the creation of an endpoint."""
    asked = {"service_id": service["id"], "interface": "public", "url": "http://x.example/v1", **attributes}
    return await cloud.call("POST", "/endpoints", {"endpoint": asked})


async def catalog(cloud: Cloud, token: str, kind: str) -> list[Any]:
    """The services of one type in a token's catalog."""
    answer = await cloud.call("GET", "/auth/catalog", token=token)
    assert answer.status == 200, answer
    return [service for service in answer.body["catalog"] if service["type"] == kind]


async def test_endpoints_that_race_with_the_end_of_their_service_are_refused(cloud: Cloud) -> None:
    for _ in range(6):
        service = await cloud.made("service", type="racing")
        first = (await endpoint(cloud, service)).body["endpoint"]
        path = f"/services/{service['id']}"
        patch = {"service": {"description": "x"}}
        made, moved, changed, gone = await asyncio.gather(
            endpoint(cloud, service),
            cloud.call("PATCH", f"/endpoints/{first['id']}", {"endpoint": {"service_id": service["id"]}}),
            cloud.call("PATCH", path, patch),
            cloud.call("DELETE", path),
        )
        assert gone.status == 204
        assert made.status in (201, 400)
        assert moved.status in (200, 400, 404)
        assert changed.status in (200, 404)
        left = await cloud.call("GET", f"/endpoints?service_id={service['id']}")
        assert left.body["endpoints"] == []


async def test_what_stands_in_a_region_races_with_its_end_and_one_of_them_wins(cloud: Cloud) -> None:
    service = await cloud.made("service", type="racing")
    for number in range(6):
        region = f"r{number}"
        assert (await cloud.call("POST", "/regions", {"region": {"id": region}})).status == 201
        made, below, changed, gone = await asyncio.gather(
            endpoint(cloud, service, region_id=region),
            cloud.call("POST", "/regions", {"region": {"id": f"{region}-below", "parent_region_id": region}}),
            cloud.call("PATCH", f"/regions/{region}", {"region": {"description": "x"}}),
            cloud.call("DELETE", f"/regions/{region}"),
        )
        assert (made.status, gone.status) in ((201, 403), (400, 204)), (made, gone)
        assert below.status in (201, 404)
        assert changed.status in (200, 404)


async def test_a_service_or_region_that_is_not_there_is_a_bad_request(cloud: Cloud) -> None:
    service = await cloud.made("service", type="thing")
    made = (await endpoint(cloud, service, region="named")).body["endpoint"]
    assert (made["region_id"], made["region"]) == ("named", "named")
    assert (await cloud.call("GET", "/regions/named")).status == 200
    assert (await endpoint(cloud, {"id": NONE})).status == 400
    assert (await endpoint(cloud, service, region_id="nowhere")).status == 400
    for wrong in ({"service_id": NONE}, {"region_id": "nowhere"}, {"url": "http://$(password)s"}):
        assert (await cloud.call("PATCH", f"/endpoints/{made['id']}", {"endpoint": wrong})).status == 400
    assert (await cloud.call("PATCH", f"/endpoints/{NONE}", {"endpoint": {"url": "http://y"}})).status == 404
    none = await cloud.call("PATCH", f"/endpoints/{made['id']}", {"endpoint": {"region_id": None}})
    assert none.body["endpoint"]["region"] is None


async def test_endpoints_are_listed_by_every_filter(cloud: Cloud) -> None:
    service = await cloud.made("service", type="thing")
    made = (await endpoint(cloud, service, interface="internal", region="Far")).body["endpoint"]
    for query in (
        f"service_id={service['id']}",
        "region_id=Far",
        "region_id__istartswith=far",
        f"interface=internal&service_id={service['id']}&enabled=1",
    ):
        assert [one["id"] for one in (await cloud.call("GET", f"/endpoints?{query}")).body["endpoints"]] == [made["id"]]
    assert (await cloud.call("GET", f"/endpoints?service_id={NONE}")).body["endpoints"] == []
    assert (await cloud.call("GET", "/endpoints?interface=secret")).status == 400


async def test_the_catalog_leaves_out_what_is_disabled_and_fills_urls_in(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    service = await cloud.made("service", type="thing", name="Thing")
    url = "http://x/%(tenant_id)s/$(project_id)s/$(user_id)s"
    made = (await endpoint(cloud, service, url=url)).body["endpoint"]
    [shown] = await catalog(cloud, token, "thing")
    filled = f"http://x/{project['id']}/{project['id']}/{user['id']}"
    assert [one["url"] for one in shown["endpoints"]] == [filled]
    assert (shown["name"], shown["id"]) == ("Thing", service["id"])
    assert set(shown["endpoints"][0]) == {"id", "interface", "region", "region_id", "url"}
    system = await cloud.token(cloud.admin_id, scope={"system": {"all": True}})
    assert [one["endpoints"] for one in await catalog(cloud, system, "thing")] == [[]]
    assert (await cloud.call("PATCH", f"/endpoints/{made['id']}", {"endpoint": {"enabled": False}})).status == 200
    assert [one["endpoints"] for one in await catalog(cloud, token, "thing")] == [[]]
    assert (await cloud.call("PATCH", f"/services/{service['id']}", {"service": {"enabled": False}})).status == 200
    assert await catalog(cloud, token, "thing") == []


async def test_a_service_without_a_name_has_an_empty_one(cloud: Cloud) -> None:
    answer = await cloud.call("POST", "/services", {"service": {"type": "nameless"}})
    assert (answer.status, answer.body["service"]["name"]) == (201, "")
    [shown] = await catalog(cloud, cloud.admin_token, "nameless")
    assert (shown["name"], shown["endpoints"]) == ("", [])


async def test_a_token_without_a_scope_has_no_catalog(cloud: Cloud) -> None:
    user = await cloud.made("user", password=PASSWORD)
    answer = await cloud.password(user["id"], scope="unscoped")
    assert "catalog" not in answer.body["token"]
    token = answer.headers["X-Subject-Token"]
    assert (await cloud.call("GET", "/auth/catalog", token=token)).status == 403


async def test_regions_are_put_where_they_are_and_go_with_those_below(cloud: Cloud) -> None:
    assert (await cloud.call("PUT", "/regions/top", {"region": {"description": "x"}})).status == 201
    assert (await cloud.call("PUT", "/regions/top", {"region": {}})).status == 409
    assert (await cloud.call("PUT", "/regions/top", {"region": {"id": "other"}})).status == 400
    assert (await cloud.call("POST", "/regions", {"region": {"id": "x", "parent_region_id": "none"}})).status == 404
    for name in ("left", "right"):
        assert (await cloud.call("PUT", f"/regions/{name}", {"region": {"parent_region_id": "top"}})).status == 201
    assert (await cloud.call("DELETE", "/regions/top")).status == 204
    assert (await cloud.call("GET", "/regions/left")).status == 404


async def test_regions_that_are_moved_at_the_same_time_close_no_circle(cloud: Cloud) -> None:
    for number in range(5):
        names = [f"{number}-left", f"{number}-right"]
        for name in names:
            assert (await cloud.call("PUT", f"/regions/{name}", {"region": {}})).status == 201
        crossed = await asyncio.gather(
            cloud.call("PATCH", f"/regions/{names[0]}", {"region": {"parent_region_id": names[1]}}),
            cloud.call("PATCH", f"/regions/{names[1]}", {"region": {"parent_region_id": names[0]}}),
        )
        assert sorted(answer.status for answer in crossed) == [200, 400]

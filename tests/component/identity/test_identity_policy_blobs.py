"""The policies that services keep in Identity, and which of them is an endpoint's."""

from __future__ import annotations

from typing import Any

from identity_cloud import Cloud

NONE = "0" * 32


async def policy(cloud: Cloud, blob: str = "{'role': 'admin'}") -> Any:
    """A new policy."""
    answer = await cloud.call("POST", "/policies", {"policy": {"type": "application/json", "blob": blob, "note": "n"}})
    assert answer.status == 201, answer
    return answer.body["policy"]


async def endpoint(cloud: Cloud, service: Any, region: str) -> Any:
    """A new endpoint of a service in a region."""
    asked = {"service_id": service["id"], "interface": "public", "url": "http://x.example", "region_id": region}
    answer = await cloud.call("POST", "/endpoints", {"endpoint": asked})
    assert answer.status == 201, answer
    return answer.body["endpoint"]


async def policy_of(cloud: Cloud, one: Any) -> str | None:
    """The id of an endpoint's policy."""
    answer = await cloud.call("GET", f"/endpoints/{one['id']}/OS-ENDPOINT-POLICY/policy")
    return answer.body["policy"]["id"] if answer.status == 200 else None


async def test_a_policy_lives_from_post_to_delete(cloud: Cloud) -> None:
    made = await policy(cloud)
    path = f"/policies/{made['id']}"
    assert made["links"]["self"] == f"{cloud.client.url}/identity/v3{path}"
    assert (await cloud.call("GET", path)).body["policy"] == made
    assert made in (await cloud.call("GET", "/policies")).body["policies"]
    assert (await cloud.call("GET", "/policies?type=other")).body["policies"] == []
    changed = await cloud.call("PATCH", path, {"policy": {"blob": "new"}})
    assert (changed.status, changed.body["policy"]) == (200, {**made, "blob": "new"})
    assert (await cloud.call("DELETE", path)).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        body = {"policy": {"blob": "x"}} if method == "PATCH" else None
        assert (await cloud.call(method, path, body)).status == 404
    for wrong in ({}, {"blob": "x"}, {"type": "x"}, {"type": 1, "blob": "x"}, {"type": "x", "blob": {}}):
        assert (await cloud.call("POST", "/policies", {"policy": wrong})).status == 400, wrong


async def test_the_nearest_association_decides_an_endpoints_policy(cloud: Cloud) -> None:
    for region, parent in (("continent", None), ("country", "continent"), ("city", "country")):
        asked = {"region": {"id": region, "parent_region_id": parent}}
        assert (await cloud.call("POST", "/regions", asked)).status == 201
    service = await cloud.made("service", type="thing")
    here, there = await endpoint(cloud, service, "city"), await endpoint(cloud, service, "continent")
    own, near, far, general = [await policy(cloud, name) for name in ("own", "near", "far", "general")]
    places = (
        (general, f"services/{service['id']}"),
        (far, f"services/{service['id']}/regions/continent"),
        (near, f"services/{service['id']}/regions/country"),
        (own, f"endpoints/{here['id']}"),
    )
    assert await policy_of(cloud, here) is None
    for made, place in places:
        path = f"/policies/{made['id']}/OS-ENDPOINT-POLICY/{place}"
        assert (await cloud.call("HEAD", path)).status == 404
        assert (await cloud.call("PUT", path)).status == 204
        assert (await cloud.call("GET", path)).status == 204
        assert await policy_of(cloud, here) == made["id"]
    assert await policy_of(cloud, there) == far["id"]

    async def endpoints(made: Any) -> set[str]:
        answer = await cloud.call("GET", f"/policies/{made['id']}/OS-ENDPOINT-POLICY/endpoints")
        return {one["id"] for one in answer.body["endpoints"]}

    assert await endpoints(own) == await endpoints(near) == {here["id"]}
    assert await endpoints(far) == await endpoints(general) == {here["id"], there["id"]}
    for made, place in reversed(places):
        assert await policy_of(cloud, here) == made["id"]
        path = f"/policies/{made['id']}/OS-ENDPOINT-POLICY/{place}"
        assert [(await cloud.call("DELETE", path)).status for _ in range(2)] == [204, 204]
    assert await policy_of(cloud, here) is None


async def test_another_policy_takes_the_place_of_the_one_there_was(cloud: Cloud) -> None:
    service = await cloud.made("service", type="thing")
    one = await endpoint(cloud, service, "RegionOne")
    first, second = await policy(cloud), await policy(cloud)
    for made in (first, second):
        path = f"/policies/{made['id']}/OS-ENDPOINT-POLICY/services/{service['id']}"
        assert (await cloud.call("PUT", path)).status == 204
    assert await policy_of(cloud, one) == second["id"]
    assert (await cloud.call("GET", path.replace(second["id"], first["id"]))).status == 404
    assert (await cloud.call("DELETE", f"/policies/{second['id']}")).status == 204
    assert await policy_of(cloud, one) is None


async def test_associations_are_made_with_what_is_there(cloud: Cloud) -> None:
    made, service = await policy(cloud), await cloud.made("service", type="thing")
    one = await endpoint(cloud, service, "RegionOne")
    for start, place in (
        (NONE, f"endpoints/{one['id']}"),
        (made["id"], f"endpoints/{NONE}"),
        (made["id"], f"services/{NONE}"),
        (made["id"], f"services/{service['id']}/regions/nowhere"),
        (made["id"], f"services/{NONE}/regions/RegionOne"),
    ):
        for method in ("PUT", "GET", "DELETE"):
            answer = await cloud.call(method, f"/policies/{start}/OS-ENDPOINT-POLICY/{place}")
            assert answer.status == 404, (method, place)
    assert (await cloud.call("GET", f"/endpoints/{NONE}/OS-ENDPOINT-POLICY/policy")).status == 404

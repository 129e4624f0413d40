"""What Identity says of itself to anybody: versions, and its resources by JSON-home."""

from __future__ import annotations

import re
from typing import Any

from identity_cloud import Cloud

from skybus.identity import api, json_home

REL = "https://docs.openstack.org/api/openstack-identity/3/rel/"
EXT = "https://docs.openstack.org/api/openstack-identity/3/ext/"


async def anybody(cloud: Cloud, path: str, accept: str = "*/*") -> Any:
    """A call without a token."""
    return await cloud.client.call("GET", "/identity" + path, token=None, headers={"Accept": accept})


async def test_the_versions_lead_to_the_current_one(cloud: Cloud) -> None:
    for path in ("", "/"):
        answer = await anybody(cloud, path)
        assert (answer.status, answer.headers["Location"]) == (300, f"{cloud.client.url}/identity/v3/")
        [version] = answer.body["versions"]["values"]
        assert (version["id"], version["status"]) == ("v3.14", "stable")
    for path in ("/v3", "/v3/"):
        answer = await anybody(cloud, path)
        assert (answer.status, answer.body["version"]) == (200, version)


async def test_json_home_is_for_those_who_like_it_best(cloud: Cloud) -> None:
    for accept in (
        "application/json-home",
        "application/json;q=0.5, application/json-home",
        "*/*;q=0.1,application/json-home",
    ):
        answer = await anybody(cloud, "/v3", accept)
        assert answer.headers["Content-Type"].startswith("application/json-home"), accept
        assert "resources" in answer.body
    for accept in ("application/json", "*/*", "", "application/json, application/json-home;q=0.4", "x;q=", ";;,,q=1"):
        answer = await anybody(cloud, "/v3", accept)
        assert answer.headers["Content-Type"].partition(";")[0] == "application/json", accept


async def test_json_home_names_resources_with_their_variables(cloud: Cloud) -> None:
    resources = (await anybody(cloud, "/v3", "application/json-home")).body["resources"]
    assert resources[REL + "projects"] == {"href": "/projects"}
    parameters = "https://docs.openstack.org/api/openstack-identity/3/param/"
    assert resources[REL + "implied_role"] == {
        "href-template": "/roles/{prior_role_id}/implies/{implied_role_id}",
        "href-vars": {"prior_role_id": parameters + "role_id", "implied_role_id": parameters + "role_id"},
    }
    group = EXT + "OS-EP-FILTER/1.0/"
    assert resources[group + "rel/endpoint_group"] == {
        "href-template": "/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}",
        "href-vars": {"endpoint_group_id": group + "param/endpoint_group_id"},
    }
    above = (await anybody(cloud, "", "application/json-home")).body["resources"]
    assert above[REL + "projects"] == {"href": "/v3/projects"}
    assert above.keys() == resources.keys()


async def test_json_home_leads_to_routes_and_to_nothing_else(cloud: Cloud) -> None:
    resources = (await anybody(cloud, "/v3", "application/json-home")).body["resources"]
    for resource in resources.values():
        path = resource.get("href") or re.sub(r"\{\w+\}", "x", resource["href-template"])
        assert cloud.client.dispatcher.router.find("/identity/v3" + path).methods, path


def test_json_home_knows_no_resource_of_a_route_that_is_not_there() -> None:
    routes = [route for route in api().routes if "/regions" not in route.path]
    names = {name.rpartition("/")[2] for name in json_home.json_home(routes)["resources"]}
    assert "regions" not in names
    assert "services" in names

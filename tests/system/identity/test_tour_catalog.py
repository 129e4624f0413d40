"""The openstack command among regions, services, endpoints, endpoint groups, policies and the catalog."""

from __future__ import annotations

import pytest
from tour import Tour, new_name

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_regions(tour: Tour) -> None:
    name = new_name("region")
    made = tour.json("region", "create", "--description", "far away", name)
    assert (made["region"], made["description"], made["parent_region"]) == (name, "far away", None)
    tour.refused("409", "region", "create", name)
    below = tour.json("region", "create", "--parent-region", name, name + "-b")
    assert below["parent_region"] == name
    assert tour.column("Region", "region", "list", "--parent-region", name) == [name + "-b"]
    tour.do("region", "set", "--description", "near", name)
    assert tour.json("region", "show", name)["description"] == "near"
    tour.refused("404", "region", "set", "--parent-region", "nowhere", name + "-b")
    tour.do("region", "delete", name + "-b", name)
    tour.refused("No Region found", "region", "show", name)


def test_services_and_endpoints_and_what_the_catalog_says_of_them(tour: Tour) -> None:
    name, kind = new_name("service"), new_name("kind")
    made = tour.json("service", "create", "--name", name, "--description", "does things", kind)
    assert (made["name"], made["type"], made["enabled"], made["description"]) == (name, kind, True, "does things")
    tour.do("service", "set", "--description", "does more", "--disable", name)
    shown = tour.json("service", "show", name)
    assert (shown["enabled"], shown["description"], shown["id"]) == (False, "does more", made["id"])
    tour.do("service", "set", "--enable", name)
    assert made["id"] in tour.column("ID", "service", "list", "--long")

    url = "http://service.test/%(project_id)s"
    end = tour.json("endpoint", "create", "--region", "RegionOne", kind, "public", url)
    assert (end["url"], end["interface"], end["region"], end["service_id"]) == (url, "public", "RegionOne", made["id"])
    off = tour.json("endpoint", "create", "--disable", kind, "internal", "http://off.test/")
    tour.refused("400", "endpoint", "create", kind, "public", "http://x.test/%(password)s")
    assert set(tour.column("ID", "endpoint", "list", "--service", kind)) == {end["id"], off["id"]}
    assert end["id"] in tour.column("ID", "endpoint", "list", "--interface", "public", "--region", "RegionOne")

    def in_catalog() -> list[str]:
        return [place["url"] for place in tour.json("catalog", "show", kind)["endpoints"]]

    assert in_catalog() == [f"http://service.test/{tour.project_id}"]
    assert {"identity", "compute", "image", "network", kind} <= set(tour.column("Type", "catalog", "list"))
    tour.do("endpoint", "set", "--url", "http://new.test/", "--interface", "admin", end["id"])
    assert tour.json("endpoint", "show", end["id"])["interface"] == "admin"
    assert in_catalog() == ["http://new.test/"]
    tour.do("endpoint", "set", "--disable", end["id"])
    assert in_catalog() == []

    tour.do("endpoint", "delete", end["id"], off["id"])
    tour.refused("No Endpoint", "endpoint", "show", end["id"])
    tour.do("service", "delete", name)
    tour.refused("No service", "service", "show", made["id"])


def test_endpoints_for_chosen_projects(tour: Tour) -> None:
    one, kind = tour.person(), new_name("kind")
    service = tour.json("service", "create", "--name", kind, kind)
    end = tour.json("endpoint", "create", kind, "public", "http://chosen.test/")
    tour.do("endpoint", "add", "project", end["id"], one.project)
    assert tour.column("ID", "endpoint", "list", "--endpoint", end["id"]) == [one.project_id]
    assert end["id"] in tour.column("ID", "endpoint", "list", "--project", one.project)
    assert kind in tour.column("Type", "catalog", "list", cloud=one.cloud)
    tour.do("endpoint", "remove", "project", end["id"], one.project)
    assert tour.column("ID", "endpoint", "list", "--endpoint", end["id"]) == []
    tour.refused("404", "endpoint", "remove", "project", end["id"], one.project)
    tour.do("service", "delete", service["id"])
    tour.gone(one)


def test_endpoint_groups(tour: Tour) -> None:
    one, name, kind = tour.person(), new_name("points"), new_name("kind")
    service = tour.json("service", "create", "--name", kind, kind)
    end = tour.json("endpoint", "create", kind, "public", "http://grouped.test/")
    filters = tour.file({"service_id": service["id"]})
    made = tour.json("endpoint", "group", "create", "--description", "some", name, filters)
    assert (made["name"], made["filters"], made["description"]) == (name, {"service_id": service["id"]}, "some")
    tour.refused("400", "endpoint", "group", "create", name, tour.file({"colour": "red"}))
    tour.do("endpoint", "group", "add", "project", name, one.project)
    assert tour.column("ID", "endpoint", "group", "list", "--project", one.project) == [made["id"]]
    assert tour.column("ID", "endpoint", "group", "list", "--endpointgroup", name) == [one.project_id]
    assert kind in tour.column("Type", "catalog", "list", cloud=one.cloud)
    tour.do("endpoint", "group", "remove", "project", name, one.project)
    assert tour.column("ID", "endpoint", "group", "list", "--project", one.project) == []
    tour.do("endpoint", "group", "set", "--name", name + "x", "--filters", tour.file({"interface": "admin"}), name)
    assert tour.json("endpoint", "group", "show", name + "x")["filters"] == {"interface": "admin"}
    assert made["id"] in tour.column("ID", "endpoint", "group", "list")
    tour.do("endpoint", "group", "delete", name + "x")
    tour.refused("No EndpointGroup", "endpoint", "group", "show", made["id"])
    tour.do("endpoint", "delete", end["id"])
    tour.do("service", "delete", service["id"])
    tour.gone(one)


def test_policies(tour: Tour) -> None:
    rules = tour.file({"identity:get_user": "role:admin"})
    made = tour.json("policy", "create", "--type", "application/json", rules)
    assert (made["type"], made["rules"]) == ("application/json", rules.read_text())
    tour.do("policy", "set", "--rules", tour.file({"other": "!"}), made["id"])
    assert "other" in tour.json("policy", "show", made["id"])["rules"]
    assert made["id"] in tour.column("ID", "policy", "list", "--long")
    tour.do("policy", "delete", made["id"])
    tour.refused("No Policy found", "policy", "show", made["id"])

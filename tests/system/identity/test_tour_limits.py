"""The openstack command among registered limits and limits."""

from __future__ import annotations

import pytest
from tour import Tour, new_name

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_limits(tour: Tour) -> None:
    one, kind, resource = tour.person(), new_name("kind"), new_name("widgets")
    service = tour.json("service", "create", "--name", kind, kind)
    registered = ("registered", "limit")
    words = ("--service", kind, "--default-limit", "10", "--description", "how many", "--region", "RegionOne")
    made = tour.json(*registered, "create", *words, resource)
    assert (made["resource_name"], made["default_limit"], made["service_id"]) == (resource, 10, service["id"])
    tour.refused("409", *registered, "create", *words, resource)
    changed = tour.json(*registered, "set", "--default-limit", "20", made["id"])
    assert changed["default_limit"] == 20
    assert tour.json(*registered, "show", made["id"])["default_limit"] == 20
    assert tour.column("ID", *registered, "list", "--resource-name", resource) == [made["id"]]

    of = ("--project", one.project, "--service", kind, "--region", "RegionOne")
    limit = tour.json("limit", "create", *of, "--resource-limit", "5", resource)
    assert (limit["resource_limit"], limit["project_id"]) == (5, one.project_id)
    tour.refused("403", *registered, "delete", made["id"])
    assert tour.json("limit", "set", "--resource-limit", "6", limit["id"])["resource_limit"] == 6
    assert tour.json("limit", "show", limit["id"], cloud=one.cloud)["resource_limit"] == 6
    assert tour.column("ID", "limit", "list", cloud=one.cloud) == [limit["id"]]
    tour.refused("403", "limit", "set", "--resource-limit", "7", limit["id"], cloud=one.cloud)
    tour.do("limit", "delete", limit["id"])
    tour.refused("No Limit found", "limit", "show", limit["id"])
    tour.do(*registered, "delete", made["id"])
    tour.refused("No RegisteredLimit found", *registered, "show", made["id"])
    tour.do("service", "delete", service["id"])
    tour.gone(one)

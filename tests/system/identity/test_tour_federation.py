"""The openstack command among identity providers, mappings, protocols and service providers."""

from __future__ import annotations

import pytest
from tour import Tour, new_name

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

RULES = [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "OIDC-preferred_username"}]}]


def test_identity_providers_mappings_and_protocols(tour: Tour) -> None:
    name, domain = new_name("idp"), tour.json("domain", "create", new_name("domain"))
    group = ("identity", "provider")
    words = ("--remote-id", name + ".test", "--description", "theirs", "--domain", domain["name"])
    made = tour.json(*group, "create", *words, "--authorization-ttl", "60", name)
    assert (made["id"], made["remote_ids"], made["domain_id"]) == (name, [name + ".test"], domain["id"])
    assert (made["authorization_ttl"], made["enabled"]) == (60, True)
    tour.refused("409", *group, "create", name)
    tour.do(*group, "set", "--description", "ours", "--disable", name)
    shown = tour.json(*group, "show", name)
    assert (shown["description"], shown["enabled"]) == ("ours", False)
    assert tour.column("ID", *group, "list", "--id", name) == [name]
    assert name not in tour.column("ID", *group, "list", "--enabled")

    mapping = tour.json("mapping", "create", "--rules", tour.file(RULES), name + "-m")
    assert (mapping["id"], mapping["rules"]) == (name + "-m", RULES)
    tour.refused("400", "mapping", "create", "--rules", tour.file([{"local": []}]), name + "-n")
    other = [{**RULES[0], "remote": [{"type": "OIDC-email"}]}]
    tour.do("mapping", "set", "--rules", tour.file(other), name + "-m")
    assert tour.json("mapping", "show", name + "-m")["rules"] == other
    assert name + "-m" in tour.column("ID", "mapping", "list")

    of = ("--identity-provider", name)
    protocol = ("federation", "protocol")
    made = tour.json(*protocol, "create", *of, "--mapping", name + "-m", "openid")
    assert made["id"] == "openid"
    tour.json("mapping", "create", "--rules", tour.file(RULES), name + "-o")
    tour.tried(*protocol, "set", *of, "--mapping", name + "-o", "openid")  # its status is no number: the client's error
    assert tour.json(*protocol, "show", *of, "openid")["mapping"] == name + "-o"
    assert tour.column("id", *protocol, "list", *of) == ["openid"]
    tour.do(*protocol, "delete", *of, "openid")
    tour.refused("No FederationProtocol found", *protocol, "show", *of, "openid")
    tour.do(*group, "delete", name)
    tour.refused("No", *group, "show", name)
    tour.do("mapping", "delete", name + "-m", name + "-o")
    tour.refused("No", "mapping", "show", name + "-m")
    tour.do("domain", "set", "--disable", domain["id"])
    tour.do("domain", "delete", domain["id"])


def test_service_providers(tour: Tour) -> None:
    name = new_name("sp")
    group = ("service", "provider")
    where = ("--auth-url", "http://sp.test/v3", "--service-provider-url", "http://sp.test/saml")
    made = tour.json(*group, "create", *where, "--description", "far", name)
    assert (made["id"], made["auth_url"], made["sp_url"]) == (name, "http://sp.test/v3", "http://sp.test/saml")
    tour.refused("409", *group, "create", *where, name)
    tour.do(*group, "set", "--description", "near", "--disable", name)
    shown = tour.json(*group, "show", name)
    assert (shown["description"], shown["enabled"]) == ("near", False)
    assert name in tour.column("ID", *group, "list")
    tour.do(*group, "delete", name)
    tour.refused("No", *group, "show", name)


def test_where_a_federated_user_may_go(tour: Tour) -> None:
    one = tour.person()
    assert tour.column("ID", "federation", "project", "list", cloud=one.cloud) == [one.project_id]
    assert tour.json("federation", "domain", "list", cloud=one.cloud) == []
    tour.do("role", "add", "--user", one.name, "--domain", "default", "reader")
    assert tour.column("ID", "federation", "domain", "list", cloud=one.by_password) == ["default"]
    tour.gone(one)

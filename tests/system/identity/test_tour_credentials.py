"""The openstack command among tokens, application credentials, credentials, trusts and OAuth."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tour import Tour, new_name

from support.process_cloud import ProcessCloud

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_the_command_as_a_program_of_its_own_does_the_same(tour: Tour, processes: ProcessCloud) -> None:
    program = Path(sys.executable).with_name("openstack")
    said = processes.program(program, "--os-cloud", "skybus", "token", "issue", "-f", "json")
    assert json.loads(said)["user_id"] == tour.user_id


def test_tokens_in_every_scope_and_their_end(tour: Tour) -> None:
    one = tour.person()
    assert tour.json("token", "issue", cloud="system")["system"] == "all"
    token = tour.json("token", "issue", cloud=one.by_password)
    left = datetime.strptime(token["expires"], "%Y-%m-%dT%H:%M:%S%z") - datetime.now(UTC)
    assert timedelta(minutes=50) < left <= timedelta(hours=1)
    cloud = tour.add_cloud(new_name("cloud"), "v3token", token=token["id"], project_id=one.project_id)
    again = tour.json("token", "issue", cloud=cloud)
    assert (again["expires"], again["user_id"]) == (token["expires"], one.id)
    unscoped = tour.add_cloud(new_name("cloud"), "v3token", token=token["id"])
    assert "project_id" not in tour.json("token", "issue", cloud=unscoped)
    elsewhere = tour.add_cloud(new_name("cloud"), "v3token", token=token["id"], project_id=tour.project_id)
    tour.refused("401", "token", "issue", cloud=elsewhere)
    tour.do("token", "revoke", token["id"])
    tour.refused("404", "token", "issue", cloud=cloud)
    tour.refused("404", "token", "revoke", token["id"])
    tour.gone(one)


def test_application_credentials_and_their_access_rules(tour: Tour) -> None:
    one, name = tour.person(), new_name("credential")
    rules = [{"service": "compute", "method": "GET", "path": "/v2.1/flavors/detail"}]
    group = ("application", "credential")
    words = ("--role", "reader", "--secret", "a secret that is long", "--description", "for a script")
    made = tour.json(
        *group, "create", *words, "--access-rules", json.dumps(rules), "--expiration", "2099-01-01T00:00:00", name,
        cloud=one.cloud,
    )  # fmt: skip
    assert (made["Name"], made["Secret"], made["Unrestricted"]) == (name, "a secret that is long", False)
    assert made["Expires At"].startswith("2099-01-01T00:00:00")
    assert "secret" not in {key for key, value in tour.json(*group, "show", name, cloud=one.cloud).items() if value}
    assert tour.column("Name", *group, "list", cloud=one.cloud) == [name]
    tour.refused("409", *group, "create", name, cloud=one.cloud)

    limited = tour.add_cloud(
        new_name("cloud"), "v3applicationcredential",
        application_credential_id=made["ID"], application_credential_secret=made["Secret"],
    )  # fmt: skip
    assert tour.json("token", "issue", cloud=limited)["project_id"] == one.project_id
    assert tour.json("flavor", "list", cloud=limited)
    tour.refused("401", "server", "list", cloud=limited)

    (rule,) = tour.json("access", "rule", "list", cloud=one.cloud)
    assert (rule["Service"], rule["Method"], rule["Path"]) == ("compute", "GET", "/v2.1/flavors/detail")
    assert tour.json("access", "rule", "show", rule["ID"], cloud=one.cloud)["Path"] == "/v2.1/flavors/detail"
    tour.refused("1 of 1", "access", "rule", "delete", rule["ID"], cloud=one.cloud)
    tour.do(*group, "delete", name, cloud=one.cloud)
    tour.refused("401", "token", "issue", cloud=limited)
    tour.do("access", "rule", "delete", rule["ID"], cloud=one.cloud)
    assert tour.json("access", "rule", "list", cloud=one.cloud) == []
    tour.gone(one)


def test_a_restricted_application_credential_makes_no_other(tour: Tour) -> None:
    one = tour.person()
    group = ("application", "credential")
    clouds = []
    for words in ((), ("--unrestricted",)):
        made = tour.json(*group, "create", *words, new_name("credential"), cloud=one.cloud)
        how = {"application_credential_id": made["ID"], "application_credential_secret": made["Secret"]}
        clouds.append(tour.add_cloud(new_name("cloud"), "v3applicationcredential", **how))
    tour.refused("403", *group, "create", new_name("child"), cloud=clouds[0])
    child = tour.json(*group, "create", new_name("child"), cloud=clouds[1])
    tour.do(*group, "delete", child["ID"], cloud=clouds[1])
    tour.gone(one)


def test_credentials(tour: Tour) -> None:
    one = tour.person()
    made = tour.json("credential", "create", "--type", "cert", "--project", one.project, one.name, "a certificate")
    assert (made["type"], made["blob"], made["user_id"]) == ("cert", "a certificate", one.id)
    assert made["project_id"] == one.project_id
    assert tour.column("ID", "credential", "list", "--user", one.name) == [made["id"]]
    assert made["id"] in tour.column("ID", "credential", "list", "--type", "cert")
    assert tour.json("credential", "list", "--user", one.name, "--type", "totp") == []
    tour.do("credential", "set", "--user", one.name, "--type", "cert", "--data", "another", made["id"])
    assert tour.json("credential", "show", made["id"])["blob"] == "another"
    tour.do("credential", "delete", made["id"])
    tour.refused("No Credential", "credential", "show", made["id"])
    tour.gone(one)


def test_ec2_credentials(tour: Tour) -> None:
    one = tour.person()
    group = ("ec2", "credentials")
    made = tour.json(*group, "create", cloud=one.cloud)
    assert (made["user_id"], made["project_id"]) == (one.id, one.project_id)
    assert tour.column("Access", *group, "list", cloud=one.cloud) == [made["access"]]
    assert tour.json(*group, "show", made["access"], cloud=one.cloud)["secret"] == made["secret"]
    other = tour.json(*group, "create", "--user", one.name, "--project", one.project)
    assert other["access"] != made["access"]
    stranger = tour.person()
    tour.refused("403", *group, "show", "--user", one.id, made["access"], cloud=stranger.cloud)
    tour.do(*group, "delete", made["access"], other["access"], cloud=one.cloud)
    assert tour.json(*group, "list", cloud=one.cloud) == []
    tour.gone(stranger)
    tour.gone(one)


def test_trusts(tour: Tour) -> None:
    one, other = tour.person(), tour.person()
    ids = {row["Name"]: row["ID"] for row in tour.json("role", "list")}
    made = tour.json(
        "trust", "create", "--project", one.project_id, "--role", ids["member"], "--impersonate",
        "--expiration", "2099-01-01T00:00:00", one.id, other.id, cloud=one.cloud,
    )  # fmt: skip
    assert (made["trustor_user_id"], made["trustee_user_id"]) == (one.id, other.id)
    assert (made["project_id"], made["is_impersonation"]) == (one.project_id, True)
    assert tour.column("ID", "trust", "list", "--trustor", one.id, cloud=one.cloud) == [made["id"]]
    assert tour.column("ID", "trust", "list", "--trustee", other.id, cloud=other.cloud) == [made["id"]]
    assert made["id"] in tour.column("ID", "trust", "list")
    assert tour.json("trust", "show", made["id"], cloud=other.cloud)["id"] == made["id"]
    more = ("--project", one.project_id, "--role", ids["admin"], one.id, other.id)
    tour.refused("Could not find role", "trust", "create", *more, cloud=one.cloud)

    cloud = tour.add_cloud(
        new_name("cloud"), "v3password", user_id=other.id, password=tour.password, trust_id=made["id"]
    )
    token = tour.json("token", "issue", cloud=cloud)
    assert (token["user_id"], token["project_id"]) == (one.id, one.project_id)
    tour.refused("403", "application", "credential", "create", new_name("no"), cloud=cloud)
    tour.do("trust", "delete", made["id"], cloud=one.cloud)
    tour.refused("40", "token", "issue", cloud=cloud)
    tour.refused("No Trust", "trust", "show", made["id"])
    tour.gone(one)
    tour.gone(other)


def test_consumers_request_tokens_and_access_tokens(tour: Tour) -> None:
    one = tour.person()
    made = tour.json("consumer", "create", "--description", "a robot")
    tour.do("consumer", "set", "--description", "a machine", made["id"])
    assert tour.json("consumer", "show", made["id"])["description"] == "a machine"
    assert made["id"] in tour.column("ID", "consumer", "list")
    consumer = ("--consumer-key", made["id"], "--consumer-secret", made["secret"])
    asked = tour.json("request", "token", "create", *consumer, "--project", one.project)
    for role in ("admin", "member"):  # the client asks for the role by name, which takes an administrator
        tour.do("role", "add", "--user", tour.user_id, "--project", one.project, role)
    there = tour.add_cloud(new_name("cloud"), "v3token", token=tour.token, project_id=one.project_id)
    pin = tour.json("request", "token", "authorize", "--request-key", asked["id"], "--role", "member", cloud=there)
    request = ("--request-key", asked["id"], "--request-secret", asked["secret"])
    tour.refused("401", "access", "token", "create", *consumer, *request, "--verifier", "wrong")
    given = tour.json("access", "token", "create", *consumer, *request, "--verifier", pin["oauth_verifier"])
    cloud = tour.add_cloud(
        new_name("cloud"), "v3oauth1", consumer_key=made["id"], consumer_secret=made["secret"],
        access_key=given["id"], access_secret=given["secret"],
    )  # fmt: skip
    assert tour.json("token", "issue", cloud=cloud)["project_id"] == one.project_id
    tour.do("consumer", "delete", made["id"])
    tour.refused("401", "token", "issue", cloud=cloud)
    tour.refused("No", "consumer", "show", made["id"])
    tour.gone(one)

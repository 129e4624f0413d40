"""The openstack command among users, groups, projects, domains and roles."""

from __future__ import annotations

import pytest
from tour import PASSWORD, Tour, new_name

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_users(tour: Tour) -> None:
    name = new_name("user")
    made = tour.json(
        "user", "create", "--password", PASSWORD, "--email", "u@cloud.test", "--description", "first", "--domain",
        "default", "--project", "admin", "--ignore-lockout-failure-attempts", name,
    )  # fmt: skip
    assert (made["name"], made["email"], made["description"]) == (name, "u@cloud.test", "first")
    assert (made["enabled"], made["domain_id"], made["default_project_id"]) == (True, "default", tour.project_id)
    assert made["options"] == {"ignore_lockout_failure_attempts": True}
    assert made["password_expires_at"] is None
    tour.refused("409", "user", "create", "--password", PASSWORD, name)
    assert tour.json("user", "create", "--or-show", "--password", PASSWORD, name)["id"] == made["id"]

    tour.do("user", "set", "--name", name + "x", "--email", "v@cloud.test", "--disable", name)
    shown = tour.json("user", "show", name + "x")
    assert (shown["id"], shown["email"], shown["enabled"]) == (made["id"], "v@cloud.test", False)
    assert made["id"] in tour.column("ID", "user", "list", "--domain", "default", "--disabled")
    assert made["id"] not in tour.column("ID", "user", "list", "--domain", "default", "--enabled")
    assert {"Email": "v@cloud.test", "Enabled": False}.items() <= next(
        row for row in tour.json("user", "list", "--long") if row["ID"] == made["id"]
    ).items()

    tour.do("user", "delete", made["id"])
    tour.refused("No User found", "user", "show", made["id"])
    tour.refused("1 of 1 users failed to delete", "user", "delete", made["id"])


def test_a_users_own_password(tour: Tour) -> None:
    one = tour.person()
    new = PASSWORD + " again"
    own = ("user", "password", "set", "--original-password")
    tour.refused("401", *own, "wrong", "--password", new, cloud=one.cloud)
    tour.do(*own, PASSWORD, "--password", new, cloud=one.cloud)
    tour.refused("404", "token", "issue", cloud=one.cloud)
    tour.refused("401", "token", "issue", cloud=one.by_password)
    tour.add_cloud("renewed", "v3password", user_id=one.id, password=new, project_id=one.project_id)
    assert tour.json("token", "issue", cloud="renewed")["user_id"] == one.id
    tour.do("user", "set", "--password", PASSWORD, one.id)
    tour.refused("401", "token", "issue", cloud="renewed")
    assert tour.json("token", "issue", cloud=one.by_password)["project_id"] == one.project_id
    tour.gone(one)


def test_groups(tour: Tour) -> None:
    name, one = new_name("group"), tour.person()
    made = tour.json("group", "create", "--domain", "default", "--description", "some", name)
    assert (made["name"], made["description"], made["domain_id"]) == (name, "some", "default")
    tour.refused("409", "group", "create", name)
    assert tour.json("group", "create", "--or-show", name)["id"] == made["id"]

    assert "not in group" in tour.told("group", "contains", "user", name, one.name)
    tour.do("group", "add", "user", name, one.name)
    assert f"{one.name} in group" in tour.do("group", "contains", "user", name, one.name)
    assert tour.column("ID", "user", "list", "--group", name) == [one.id]
    assert tour.column("ID", "group", "list", "--user", one.name) == [made["id"]]
    tour.do("group", "remove", "user", name, one.name)
    assert tour.column("ID", "user", "list", "--group", name) == []

    tour.do("group", "set", "--name", name + "x", "--description", "none", name)
    assert tour.json("group", "show", name + "x")["description"] == "none"
    assert made["id"] in tour.column("ID", "group", "list", "--long")
    tour.do("group", "delete", name + "x")
    tour.refused("No Group", "group", "show", made["id"])
    tour.gone(one)


def test_projects_with_properties_tags_and_children(tour: Tour) -> None:
    name = new_name("project")
    words = ("--description", "parent", "--property", "colour=red", "--tag", "a", "--tag", "b")
    parent = tour.json("project", "create", *words, name)
    assert (parent["description"], parent["enabled"], parent["is_domain"]) == ("parent", True, False)
    assert (sorted(parent["tags"]), parent["parent_id"]) == (["a", "b"], "default")
    shown = tour.json("project", "show", name)
    assert shown.get("colour", shown.get("extra", {}).get("colour")) == "red", shown
    child = tour.json("project", "create", "--parent", name, "--tag", "b", name + "-child")
    assert child["parent_id"] == parent["id"]

    def tagged(option: str, value: str) -> set[str]:
        found = set(tour.column("ID", "project", "list", option, value))
        return found & {parent["id"], child["id"]}

    both = {parent["id"], child["id"]}
    assert (tagged("--tags", "a,b"), tagged("--tags", "b")) == ({parent["id"]}, both)
    assert (tagged("--tags-any", "a,b"), tagged("--not-tags", "a")) == (both, {child["id"]})
    assert tagged("--not-tags-any", "a,b") == set()
    assert tour.column("ID", "project", "list", "--parent", name) == [child["id"]]
    assert tour.json("project", "show", "--children", name)["subtree"] == {child["id"]: None}
    assert tour.json("project", "show", "--parents", child["id"])["parents"] == {parent["id"]: {"default": None}}

    tour.do("project", "set", "--remove-tag", "a", "--property", "size=big", name)
    tour.do("project", "set", "--tag", "c", name)
    assert sorted(tour.json("project", "show", name)["tags"]) == ["b", "c"]
    tour.do("project", "set", "--clear-tags", "--description", "no tags", name)
    assert tour.json("project", "show", name)["tags"] == []
    tour.refused("403", "project", "delete", name)
    tour.refused("403", "project", "set", "--disable", name)
    tour.do("project", "set", "--disable", child["id"])
    assert child["id"] in tour.column("ID", "project", "list", "--disabled")
    tour.do("project", "delete", child["id"], name)
    tour.refused("No Project", "project", "show", parent["id"])


def test_the_projects_that_one_has_a_role_on(tour: Tour) -> None:
    one = tour.person()
    assert tour.column("ID", "project", "list", "--user", one.name) == [one.project_id]
    assert tour.column("ID", "project", "list", "--my-projects", cloud=one.cloud) == [one.project_id]
    assert tour.column("ID", "project", "list", cloud=one.cloud) == [one.project_id]
    tour.refused("403", "user", "list", cloud=one.cloud)
    tour.refused("403", "project", "create", new_name("mine"), cloud=one.cloud)
    tour.gone(one)


def test_domains_and_all_that_is_in_them(tour: Tour) -> None:
    name = new_name("domain")
    made = tour.json("domain", "create", "--description", "theirs", name)
    assert (made["name"], made["description"], made["enabled"]) == (name, "theirs", True)
    tour.refused("409", "domain", "create", name)
    assert tour.json("domain", "create", "--or-show", name)["id"] == made["id"]
    user = tour.json("user", "create", "--domain", name, "--password", PASSWORD, "inhabitant")
    project = tour.json("project", "create", "--domain", name, "house")
    assert user["domain_id"] == project["domain_id"] == made["id"]
    assert tour.column("Name", "user", "list", "--domain", name) == ["inhabitant"]
    tour.do("role", "add", "--user", user["id"], "--project", project["id"], "member")
    place = {"user_domain_name": name, "project_domain_name": name, "username": "inhabitant", "project_name": "house"}
    cloud = tour.add_cloud(name, "v3password", password=PASSWORD, **place)
    assert tour.json("token", "issue", cloud=cloud)["project_id"] == project["id"]

    tour.refused("403", "domain", "delete", name)
    tour.do("domain", "set", "--name", name + "x", "--description", "closed", "--disable", name)
    shown = tour.json("domain", "show", name + "x")
    assert (shown["enabled"], shown["description"]) == (False, "closed")
    tour.refused("401", "token", "issue", cloud=cloud)
    assert made["id"] in tour.column("ID", "domain", "list")
    assert made["id"] not in tour.column("ID", "domain", "list", "--enabled")
    tour.do("domain", "delete", name + "x")
    for noun, thing in (("domain", made), ("user", user), ("project", project)):
        tour.refused("No ", noun, "show", thing["id"])


def test_roles_and_what_they_imply(tour: Tour) -> None:
    name = new_name("role")
    made = tour.json("role", "create", "--description", "some", name)
    assert (made["name"], made["description"], made["domain_id"]) == (name, "some", None)
    tour.refused("409", "role", "create", name)
    tour.do("role", "set", "--name", name + "x", "--description", "other", name)
    assert tour.json("role", "show", name + "x")["description"] == "other"
    assert {"admin", "manager", "member", "reader", "service"} <= set(tour.column("Name", "role", "list"))
    own = tour.json("role", "create", "--domain", "default", name)
    assert own["domain_id"] == "default"
    assert own["id"] in tour.column("ID", "role", "list", "--domain", "default")
    assert own["id"] not in tour.column("ID", "role", "list")

    rule = tour.json("implied", "role", "create", "--implied-role", "reader", made["id"])
    assert rule["prior_role"] == made["id"]
    assert made["id"] in tour.column("Prior Role ID", "implied", "role", "list")
    one = tour.person(name + "x")
    held = ("role", "assignment", "list", "--user", one.name, "--project", one.project_id, "--names")
    assert set(tour.column("Role", *held, "--effective")) == {name + "x", "reader"}
    assert tour.column("Role", *held) == [name + "x"]
    tour.do("implied", "role", "delete", "--implied-role", "reader", made["id"])
    tour.refused("404", "implied", "role", "delete", "--implied-role", "reader", made["id"])
    assert tour.column("Role", *held, "--effective") == [name + "x"]
    tour.do("role", "delete", made["id"], own["id"])
    tour.refused("No Role", "role", "show", made["id"])
    tour.gone(one)


def test_assignments_on_projects_domains_and_the_system_inherited_and_by_group(tour: Tour) -> None:
    one, domain = tour.person(), tour.json("domain", "create", new_name("domain"))
    group = tour.json("group", "create", new_name("group"))
    of_user, of_group = ("--user", one.name), ("--group", group["name"])
    listed = ("role", "assignment", "list")
    cases = [
        (of_user, ("--domain", domain["name"]), ()),
        (of_user, ("--domain", domain["name"]), ("--inherited",)),
        (of_user, ("--system", "all"), ()),
        (of_user, ("--project", one.project), ("--inherited",)),
        (of_group, ("--project", one.project), ()),
        (of_group, ("--domain", domain["name"]), ("--inherited",)),
        (of_group, ("--system", "all"), ()),
    ]
    for who, where, how in cases:
        tour.do("role", "add", *who, *where, *how, "manager")
        rows = tour.json(*listed, *who, *where, *how, "--role", "manager", "--names")
        shown = [(row["Inherited"], row["System"]) for row in rows]
        assert (bool(how), "all" if "--system" in where else "") in shown, (who, where, how, rows)
        tour.do("role", "remove", *who, *where, *how, "manager")
        assert tour.json(*listed, *who, *where, *how, "--role", "manager") == []
    assert tour.column("User", *listed, "--auth-user", cloud="admin")[0] == tour.user_id
    assert tour.user_id in tour.column("User", *listed, "--system", "all")
    tour.do("group", "delete", group["id"])
    tour.do("domain", "set", "--disable", domain["id"])
    tour.do("domain", "delete", domain["id"])
    tour.gone(one)

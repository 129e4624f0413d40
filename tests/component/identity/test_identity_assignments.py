"""Who has which role where: granted, inherited, implied, listed."""

from __future__ import annotations

from typing import Any

from identity_cloud import PASSWORD, Cloud


async def names(cloud: Cloud, user: Any, scope: Any) -> list[str]:
    """The roles in a new token of `user`."""
    answer = await cloud.password(user["id"], scope=scope)
    return [role["name"] for role in answer.body["token"]["roles"]] if answer.status == 201 else []


async def test_a_role_is_granted_checked_listed_and_taken_on_every_kind_of_target(cloud: Cloud) -> None:
    user, group = await cloud.made("user"), await cloud.made("group")
    project, domain, role = await cloud.made("project"), await cloud.made("domain"), await cloud.made("role")
    for target in (f"/projects/{project['id']}", f"/domains/{domain['id']}", "/system"):
        for actor in (f"/users/{user['id']}", f"/groups/{group['id']}"):
            path = f"{target}{actor}/roles"
            one = f"{path}/{role['id']}"
            assert (await cloud.call("HEAD", one)).status == 404
            assert (await cloud.call("PUT", one)).status == 204
            assert (await cloud.call("PUT", one)).status == 204
            assert (await cloud.call("HEAD", one)).status == 204
            assert (await cloud.call("GET", one)).status == 204
            assert [r["id"] for r in (await cloud.call("GET", path)).body["roles"]] == [role["id"]]
            assert (await cloud.call("DELETE", one)).status == 204
            assert (await cloud.call("DELETE", one)).status == 404
            assert (await cloud.call("GET", path)).body["roles"] == []


async def test_a_grant_on_what_does_not_exist_is_not_found(cloud: Cloud) -> None:
    user, project, none = await cloud.made("user"), await cloud.made("project"), "0" * 32
    member = cloud.roles["member"]
    for path in (
        f"/projects/{none}/users/{user['id']}/roles/{member}",
        f"/projects/{project['id']}/users/{none}/roles/{member}",
        f"/projects/{project['id']}/users/{user['id']}/roles/{none}",
        f"/domains/{project['id']}/users/{user['id']}/roles/{member}",
        f"/projects/default/users/{user['id']}/roles/{member}",
    ):
        assert (await cloud.call("PUT", path)).status == 404, path


async def test_an_inherited_role_holds_below_and_not_on_its_target(cloud: Cloud) -> None:
    domain = await cloud.made("domain")
    user = await cloud.made("user", password=PASSWORD)
    parent = await cloud.made("project", domain_id=domain["id"])
    child = await cloud.made("project", parent_id=parent["id"])
    path = f"/OS-INHERIT/domains/{domain['id']}/users/{user['id']}/roles"
    one = f"{path}/{cloud.roles['reader']}/inherited_to_projects"
    assert (await cloud.call("PUT", one)).status == 204
    assert (await cloud.call("HEAD", one)).status == 204
    listed = (await cloud.call("GET", path + "/inherited_to_projects")).body["roles"]
    assert [role["name"] for role in listed] == ["reader"]
    for project in (parent, child):
        assert await names(cloud, user, {"project": {"id": project["id"]}}) == ["reader"]
    assert await names(cloud, user, {"domain": {"id": domain["id"]}}) == []
    effective = (await cloud.call("GET", f"/role_assignments?effective&user.id={user['id']}")).body["role_assignments"]
    assert {one["scope"]["project"]["id"] for one in effective} == {parent["id"], child["id"]}
    token = await cloud.token(user["id"], child["id"])
    assert (await cloud.call("DELETE", one)).status == 204
    assert not await cloud.works(token)


async def test_an_implied_role_stands_in_the_token_and_goes_with_its_rule(cloud: Cloud) -> None:
    user, project, _ = await cloud.member("reader")
    scope = {"project": {"id": project["id"]}}
    extra = await cloud.made("role", name="auditor")
    path = f"/roles/{cloud.roles['reader']}/implies/{extra['id']}"
    made = await cloud.call("PUT", path)
    assert made.status == 201
    assert made.body["role_inference"]["implies"]["name"] == "auditor"
    assert await names(cloud, user, scope) == ["auditor", "reader"]
    back = await cloud.call("PUT", f"/roles/{extra['id']}/implies/{cloud.roles['manager']}")
    assert back.status == 400
    rules = (await cloud.call("GET", "/role_inferences")).body["role_inferences"]
    assert {"admin", "manager", "member", "reader"} == {rule["prior_role"]["name"] for rule in rules}
    assert (await cloud.call("HEAD", path)).status == 204
    assert (await cloud.call("DELETE", path)).status == 204
    # The administrator is a reader, too, and comes again as everybody who had what is gone.
    cloud.admin_token = await cloud.token(cloud.admin_id, cloud.project_id)
    assert (await cloud.call("GET", path)).status == 404
    assert await names(cloud, user, scope) == ["reader"]


async def test_assignments_are_listed_with_names_and_by_filter(cloud: Cloud) -> None:
    user, project, _ = await cloud.member("member")
    url = f"/role_assignments?user.id={user['id']}&scope.project.id={project['id']}"
    [one] = (await cloud.call("GET", url + "&include_names")).body["role_assignments"]
    default = {"id": "default", "name": "Default"}
    assert one["user"] == {"id": user["id"], "name": user["name"], "domain": default}
    assert one["scope"] == {"project": {"id": project["id"], "name": project["name"], "domain": default}}
    assert one["role"] == {"id": cloud.roles["member"], "name": "member"}
    [plain] = (await cloud.call("GET", url)).body["role_assignments"]
    assert plain["user"] == {"id": user["id"]}
    effective = (await cloud.call("GET", url + "&effective")).body["role_assignments"]
    assert {a["role"]["id"] for a in effective} == {cloud.roles["member"], cloud.roles["reader"]}
    system = (await cloud.call("GET", "/role_assignments?scope.system=all")).body["role_assignments"]
    assert [a["scope"] for a in system] == [{"system": {"all": True}}]
    domain = (await cloud.call("GET", "/role_assignments?scope.domain.id=default")).body["role_assignments"]
    assert [a["scope"]["domain"]["id"] for a in domain] == ["default"]
    assert (await cloud.call("GET", url + "&group.id=x")).status == 400
    assert (await cloud.call("GET", "/role_assignments?include_subtree=true")).status == 400


async def test_a_groups_roles_become_its_members_in_the_effective_list(cloud: Cloud) -> None:
    user, group, project = await cloud.made("user"), await cloud.made("group"), await cloud.made("project")
    await cloud.call("PUT", f"/groups/{group['id']}/users/{user['id']}")
    await cloud.call("PUT", f"/projects/{project['id']}/groups/{group['id']}/roles/{cloud.roles['reader']}")
    url = f"/role_assignments?scope.project.id={project['id']}"
    [plain] = (await cloud.call("GET", url)).body["role_assignments"]
    assert plain["group"] == {"id": group["id"]}
    [effective] = (await cloud.call("GET", url + "&effective&include_names")).body["role_assignments"]
    assert effective["user"]["name"] == user["name"]
    assert effective["links"]["membership"].endswith(f"/groups/{group['id']}/users/{user['id']}")


async def test_projects_of_a_user_are_listed_for_it_and_for_the_administrator(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    other, _, _ = await cloud.member()
    for who in (token, cloud.admin_token):
        answer = await cloud.call("GET", f"/users/{user['id']}/projects", token=who)
        assert [one["id"] for one in answer.body["projects"]] == [project["id"]]
    assert (await cloud.call("GET", f"/users/{other['id']}/projects", token=token)).status == 403


async def test_a_role_of_one_domain_gives_what_it_implies_and_stands_in_no_token(cloud: Cloud) -> None:
    domain = await cloud.made("domain")
    local = await cloud.made("role", domain_id=domain["id"])
    user, abroad = await cloud.made("user", password=PASSWORD), await cloud.made("project")
    project = await cloud.made("project", domain_id=domain["id"])
    scope = {"project": {"id": project["id"]}}
    end = f"users/{user['id']}/roles/{local['id']}"
    assert (await cloud.call("PUT", f"/projects/{abroad['id']}/{end}")).status == 403
    assert (await cloud.call("PUT", f"/system/{end}")).status == 400
    assert (await cloud.call("PUT", f"/projects/{project['id']}/{end}")).status == 204
    url = f"/role_assignments?effective&user.id={user['id']}"
    assert (await cloud.call("GET", url)).body["role_assignments"] == []
    assert await names(cloud, user, scope) == []
    assert (await cloud.call("PUT", f"/roles/{cloud.roles['reader']}/implies/{local['id']}")).status == 403
    implies = f"/roles/{local['id']}/implies/{cloud.roles['reader']}"
    assert (await cloud.call("PUT", implies)).status == 201
    assert await names(cloud, user, scope) == ["reader"]
    [one] = (await cloud.call("GET", url)).body["role_assignments"]
    assert one["role"]["id"] == cloud.roles["reader"]
    token = await cloud.token(user["id"], project["id"])
    assert (await cloud.call("DELETE", f"/roles/{local['id']}")).status == 204
    assert not await cloud.works(token)
    assert await cloud.works(cloud.admin_token), "the administrator is a reader by another role"


async def test_the_rule_of_a_role_of_one_domain_ends_the_tokens_of_those_who_have_it(cloud: Cloud) -> None:
    """Security class 7: by a group, and by another role of the domain."""
    domain = await cloud.made("domain")
    outer, inner = [await cloud.made("role", domain_id=domain["id"]) for _ in range(2)]
    for prior, implied in ((outer["id"], inner["id"]), (inner["id"], cloud.roles["reader"])):
        assert (await cloud.call("PUT", f"/roles/{prior}/implies/{implied}")).status == 201
    user, group = await cloud.made("user", password=PASSWORD), await cloud.made("group")
    project = await cloud.made("project", domain_id=domain["id"])
    assert (await cloud.call("PUT", f"/groups/{group['id']}/users/{user['id']}")).status == 204
    path = f"/projects/{project['id']}/groups/{group['id']}/roles/{outer['id']}"
    assert (await cloud.call("PUT", path)).status == 204
    token = await cloud.token(user["id"], project["id"])
    _, _, other = await cloud.member("reader")
    rule = f"/roles/{inner['id']}/implies/{cloud.roles['reader']}"
    assert (await cloud.call("DELETE", rule)).status == 204
    assert not await cloud.works(token)
    assert await cloud.works(other)

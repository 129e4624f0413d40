"""The tree of projects: what hangs where, what may be disabled, what cannot be changed, what goes with what."""

from __future__ import annotations

import asyncio
from typing import Any

from identity_cloud import PASSWORD, Cloud

from skybus.store import Store


async def ids(cloud: Cloud, path: str) -> set[str]:
    """The ids of a list of projects."""
    answer = await cloud.call("GET", path)
    assert answer.status == 200, answer
    return {project["id"] for project in answer.body["projects"]}


async def patch(cloud: Cloud, noun: str, thing: Any, **attributes: Any) -> int:
    """The status of a change."""
    return (await cloud.call("PATCH", f"/{noun}s/{thing['id']}", {noun: attributes})).status


async def test_a_project_is_disabled_after_what_is_below_and_enabled_after_what_is_above(cloud: Cloud) -> None:
    domain = await cloud.made("domain")
    top = await cloud.made("project", domain_id=domain["id"])
    low = await cloud.made("project", parent_id=top["id"])
    assert await patch(cloud, "project", top, enabled=False) == 403
    assert await patch(cloud, "project", low, enabled=False) == 200
    assert await patch(cloud, "project", top, enabled=False) == 200
    assert await patch(cloud, "project", low, enabled=True) == 403
    below = await cloud.call("POST", "/projects", {"project": {"name": "x", "parent_id": top["id"], "enabled": False}})
    assert below.status == 400
    assert await patch(cloud, "project", top, enabled=True) == 200
    assert await patch(cloud, "domain", domain, enabled=False) == 200
    assert await patch(cloud, "project", low, enabled=True) == 403
    assert (await cloud.call("POST", "/projects", {"project": {"name": "x", "parent_id": top["id"]}})).status == 400
    assert await patch(cloud, "domain", domain, enabled=True) == 200
    assert await patch(cloud, "project", low, enabled=True) == 200


async def test_a_project_stays_where_it_is(cloud: Cloud) -> None:
    other, project = await cloud.made("project"), await cloud.made("project")
    assert await patch(cloud, "project", project, parent_id=other["id"]) == 403
    assert await patch(cloud, "project", project, domain_id=other["id"]) == 400
    assert await patch(cloud, "project", project, is_domain=True) == 400
    assert await patch(cloud, "project", project, id=other["id"]) == 400
    same = {key: project[key] for key in ("id", "parent_id", "domain_id", "is_domain")}
    assert await patch(cloud, "project", project, **same) == 200


async def test_what_is_immutable_changes_and_goes_only_after_the_option(cloud: Cloud) -> None:
    for noun in ("project", "domain", "role"):
        made = await cloud.made(noun, options={"immutable": True}, **({"enabled": False} if noun == "domain" else {}))
        path = f"/{noun}s/{made['id']}"
        assert made["options"] == {"immutable": True}
        assert await patch(cloud, noun, made, description="x") == 403
        assert await patch(cloud, noun, made, description="x", options={"immutable": False}) == 403
        assert await patch(cloud, noun, made, options={"immutable": True}) == 403
        assert (await cloud.call("DELETE", path)).status == 403
        assert await patch(cloud, noun, made, options={"immutable": None}) == 200
        shown = (await cloud.call("GET", path)).body[noun]
        assert (shown["options"], shown["description"]) == ({}, made["description"])
        assert (await cloud.call("DELETE", path)).status == 204
        for wrong in ({"immutable": "yes"}, {"mutable": True}, []):
            answer = await cloud.call("POST", f"/{noun}s", {noun: {"name": "x", "options": wrong}})
            assert answer.status == 400, (noun, wrong)


async def test_an_immutable_project_keeps_its_tags_and_its_domain(cloud: Cloud) -> None:
    domain = await cloud.made("domain")
    project = await cloud.made("project", domain_id=domain["id"], tags=["a"], options={"immutable": True})
    path = f"/projects/{project['id']}/tags"
    assert (await cloud.call("PUT", path + "/b")).status == 403
    assert (await cloud.call("DELETE", path + "/a")).status == 403
    assert (await cloud.call("PUT", path, {"tags": ["b"]})).status == 403
    assert (await cloud.call("GET", path)).body["tags"] == ["a"]
    assert await patch(cloud, "domain", domain, enabled=False) == 200
    assert (await cloud.call("DELETE", f"/domains/{domain['id']}")).status == 403
    assert await patch(cloud, "project", project, options={"immutable": False}) == 200
    assert (await cloud.call("DELETE", f"/domains/{domain['id']}")).status == 204


async def test_family_lists_hold_what_the_caller_has_a_role_on_and_nested_ids_hold_all(cloud: Cloud) -> None:
    user, top, _ = await cloud.member("reader")
    middle = await cloud.made("project", parent_id=top["id"])
    low, hidden = [await cloud.made("project", parent_id=middle["id"]) for _ in range(2)]
    reader = cloud.roles["reader"]
    assert (await cloud.call("PUT", f"/projects/{low['id']}/users/{user['id']}/roles/{reader}")).status == 204

    async def shown(project: Any, query: str) -> Any:
        token = await cloud.token(user["id"], project["id"])
        answer = await cloud.call("GET", f"/projects/{project['id']}?{query}", token=token)
        assert answer.status == 200, answer
        return answer.body["project"]

    listed = (await shown(top, "subtree_as_list"))["subtree"]
    assert [one["project"] for one in listed] == [low]
    assert [one["project"]["id"] for one in (await shown(low, "parents_as_list"))["parents"]] == [top["id"]]
    nested = {middle["id"]: {low["id"]: None, hidden["id"]: None}}
    assert (await shown(top, "subtree_as_ids"))["subtree"] == nested
    above = {middle["id"]: {top["id"]: {"default": None}}}
    assert (await shown(low, "parents_as_ids=1"))["parents"] == above
    assert "parents" not in await shown(low, "parents_as_ids=0")
    for name in ("parents", "subtree"):
        both = f"/projects/{top['id']}?{name}_as_list&{name}_as_ids"
        assert (await cloud.call("GET", both)).status == 400


async def test_family_lists_show_limits_when_they_are_asked_for(cloud: Cloud) -> None:
    service = await cloud.made("service", type="thing")
    registered = {"service_id": service["id"], "resource_name": "cores", "default_limit": 10}
    answer = await cloud.call("POST", "/registered_limits", {"registered_limits": [registered]})
    assert answer.status == 201, answer
    user, top, token = await cloud.member()
    low = await cloud.made("project", parent_id=top["id"])
    path = f"/projects/{low['id']}/users/{user['id']}/roles/{cloud.roles['reader']}"
    assert (await cloud.call("PUT", path)).status == 204
    limit = {"service_id": service["id"], "resource_name": "cores", "resource_limit": 3, "project_id": low["id"]}
    made = await cloud.call("POST", "/limits", {"limits": [limit]})
    assert made.status == 201, made

    async def subtree(query: str) -> Any:
        shown = await cloud.call("GET", f"/projects/{top['id']}?subtree_as_list{query}", token=token)
        return shown.body["project"]["subtree"]

    [bare] = await subtree("")
    assert "limits" not in bare["project"]
    [full] = await subtree("&include_limits")
    assert [one["resource_limit"] for one in full["project"]["limits"]] == [3]


async def test_projects_are_found_by_all_four_filters_of_tags(cloud: Cloud) -> None:
    domain = await cloud.made("domain")
    sets = {"ab": ["a", "b"], "a": ["a"], "bc": ["b", "c"], "none": []}
    made = {name: await cloud.made("project", domain_id=domain["id"], tags=tags) for name, tags in sets.items()}

    async def found(query: str) -> set[str]:
        hits = await ids(cloud, f"/projects?domain_id={domain['id']}&{query}")
        return {name for name, project in made.items() if project["id"] in hits}

    assert await found("tags=a") == {"ab", "a"}
    assert await found("tags=a,b") == {"ab"}
    assert await found("tags-any=a,c") == {"ab", "a", "bc"}
    assert await found("not-tags=a,b") == {"a", "bc", "none"}
    assert await found("not-tags-any=a,c") == {"none"}
    assert await found("tags=b&not-tags=c") == {"ab"}


async def test_tags_that_are_added_at_the_same_time_are_all_there(cloud: Cloud) -> None:
    project = await cloud.made("project")
    path = f"/projects/{project['id']}/tags"
    answers = await asyncio.gather(*(cloud.call("PUT", f"{path}/t{number}") for number in range(8)))
    assert {answer.status for answer in answers} == {201}
    assert (await cloud.call("GET", path)).body["tags"] == [f"t{number}" for number in range(8)]
    assert (await cloud.call("PUT", path, {"tags": [f"t{number}" for number in range(80)]})).status == 200
    assert (await cloud.call("PUT", f"{path}/t7")).status == 201
    assert (await cloud.call("PUT", f"{path}/one-more")).status == 400
    assert (await cloud.call("PUT", path, {"tags": [f"t{number}" for number in range(81)]})).status == 400


async def test_projects_are_listed_by_parent_domain_name_and_kind(cloud: Cloud) -> None:
    domain = await cloud.made("domain")
    top = await cloud.made("project", domain_id=domain["id"], name=" spaced ")
    low = await cloud.made("project", parent_id=top["id"], enabled=False)
    assert top["name"] == "spaced"
    assert await ids(cloud, f"/projects?parent_id={top['id']}") == {low["id"]}
    assert await ids(cloud, f"/projects?parent_id={domain['id']}") == {top["id"]}
    assert await ids(cloud, f"/projects?domain_id={domain['id']}") == {top["id"], low["id"]}
    assert await ids(cloud, f"/projects?domain_id={domain['id']}&enabled=false") == {low["id"]}
    assert await ids(cloud, f"/projects?domain_id={domain['id']}&name__istartswith=SPA") == {top["id"]}
    assert domain["id"] in await ids(cloud, "/projects?is_domain=true")
    assert domain["id"] not in await ids(cloud, "/projects")


async def test_a_deleted_project_is_nobodys_default_any_more(cloud: Cloud) -> None:
    project = await cloud.made("project")
    user = await cloud.made("user", default_project_id=project["id"])
    assert (await cloud.call("DELETE", f"/projects/{project['id']}")).status == 204
    shown = (await cloud.call("GET", f"/users/{user['id']}")).body["user"]
    assert shown.get("default_project_id") is None


async def test_the_end_of_a_domain_is_told_for_all_that_is_in_it(cloud: Cloud, store: Store) -> None:
    domain = await cloud.made("domain")
    project = await cloud.made("project", domain_id=domain["id"])
    child = await cloud.made("project", parent_id=project["id"])
    user, group, role = [await cloud.made(noun, domain_id=domain["id"]) for noun in ("user", "group", "role")]
    assert await patch(cloud, "domain", domain, enabled=False) == 200
    assert (await cloud.call("DELETE", f"/domains/{domain['id']}")).status == 204
    rows = await store.fetch("SELECT type, subject FROM bus.outbox WHERE type LIKE '%.deleted.v1'")
    told = {(row["type"].split(".")[2], row["subject"]) for row in rows}
    things = {"project": (project, child), "user": (user,), "group": (group,), "role": (role,), "domain": (domain,)}
    assert told >= {(noun, one["id"]) for noun, made in things.items() for one in made}


async def test_a_domain_takes_along_what_its_groups_gave_to_others(cloud: Cloud) -> None:
    """Security class 7."""
    domain, project = await cloud.made("domain"), await cloud.made("project")
    guest = await cloud.made("user", password=PASSWORD)
    group = await cloud.made("group", domain_id=domain["id"])
    assert (await cloud.call("PUT", f"/groups/{group['id']}/users/{guest['id']}")).status == 204
    path = f"/projects/{project['id']}/groups/{group['id']}/roles/{cloud.roles['member']}"
    assert (await cloud.call("PUT", path)).status == 204
    token = await cloud.token(guest["id"], project["id"])
    assert await cloud.works(token)
    assert await patch(cloud, "domain", domain, enabled=False) == 200
    assert (await cloud.call("DELETE", f"/domains/{domain['id']}")).status == 204
    assert not await cloud.works(token)


async def test_a_project_does_not_hang_in_a_domain_that_goes_at_the_same_time(cloud: Cloud) -> None:
    for _ in range(5):
        domain = await cloud.made("domain")
        parent = await cloud.made("project", domain_id=domain["id"])
        assert await patch(cloud, "domain", domain, enabled=False) == 200
        asked = {"project": {"name": "late", "parent_id": parent["id"]}}
        late, gone, tagged = await asyncio.gather(
            cloud.call("POST", "/projects", asked),
            cloud.call("DELETE", f"/domains/{domain['id']}"),
            cloud.call("PUT", f"/projects/{parent['id']}/tags/t"),
        )
        assert (late.status, gone.status) == (400, 204)
        assert tagged.status in (201, 404)
        assert await ids(cloud, f"/projects?domain_id={domain['id']}") == set()


async def test_a_domain_goes_with_whatever_hangs_on_what_is_in_it(cloud: Cloud) -> None:
    domain, outside = await cloud.made("domain"), await cloud.made("user", password=PASSWORD)
    project = await cloud.made("project", domain_id=domain["id"])
    user = await cloud.made("user", domain_id=domain["id"], password=PASSWORD, default_project_id=project["id"])
    service = await cloud.made("service", type="thing")
    grant = f"/projects/{project['id']}/users/{user['id']}/roles/{cloud.roles['member']}"
    assert (await cloud.call("PUT", grant)).status == 204
    token = await cloud.token(user["id"], project["id"])
    rule = {"service": "compute", "method": "GET", "path": "/v2.1/servers"}
    trust = {
        "trustor_user_id": user["id"],
        "trustee_user_id": outside["id"],
        "project_id": project["id"],
        "impersonation": False,
        "roles": [{"name": "member"}],
    }
    registered = {"service_id": service["id"], "resource_name": "cores", "default_limit": 10}
    limit = {"service_id": service["id"], "resource_name": "cores", "resource_limit": 3, "project_id": project["id"]}
    credential = {"type": "cert", "blob": "x", "user_id": user["id"], "project_id": project["id"]}
    credentials = f"/users/{user['id']}/application_credentials"
    for path, body, who in (
        (credentials, {"application_credential": {"name": "a", "access_rules": [rule]}}, token),
        ("/OS-TRUST/trusts", {"trust": trust}, token),
        ("/credentials", {"credential": credential}, None),
        ("/registered_limits", {"registered_limits": [registered]}, None),
        ("/limits", {"limits": [limit]}, None),
    ):
        made = await cloud.call("POST", path, body, who)
        assert made.status == 201, made
    scope = {"OS-TRUST:trust": {"id": (await cloud.call("GET", "/OS-TRUST/trusts")).body["trusts"][0]["id"]}}
    trusted = await cloud.token(outside["id"], scope=scope)
    provider = {"identity_provider": {"domain_id": domain["id"]}}
    assert (await cloud.call("PUT", "/OS-FEDERATION/identity_providers/idp", provider)).status == 201
    assert await cloud.works(trusted)
    assert await patch(cloud, "domain", domain, enabled=False) == 200
    assert not await cloud.works(trusted)
    assert (await cloud.call("DELETE", f"/domains/{domain['id']}")).status == 204
    assert (await cloud.call("GET", "/OS-TRUST/trusts")).body["trusts"] == []
    assert (await cloud.call("GET", f"/credentials?user_id={user['id']}")).body["credentials"] == []
    assert (await cloud.call("GET", "/limits")).body["limits"] == []

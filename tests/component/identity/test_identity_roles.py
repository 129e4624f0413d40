"""Roles of the cloud and of domains, what they imply, and what nobody may imply."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from identity_cloud import PASSWORD, Cloud

from skybus.errors import Forbidden
from skybus.identity.roles import roles
from skybus.store import Store


async def imply(cloud: Cloud, prior: str, implied: str) -> int:
    """The status of letting one role imply another."""
    return (await cloud.call("PUT", f"/roles/{prior}/implies/{implied}")).status


async def test_no_role_implies_admin_by_whatever_name(cloud: Cloud, store: Store) -> None:
    roles_of_cloud = cloud.roles
    assert await imply(cloud, roles_of_cloud["member"], roles_of_cloud["admin"]) == 403
    made = await cloud.made("role")
    assert await imply(cloud, roles_of_cloud["member"], made["id"]) == 201
    async with store.transaction() as tx:
        # By the API nobody gets this far: with the name of its role the administrator's token dies.
        await roles.role_update(tx, roles_of_cloud["admin"], {"options": {"immutable": None}})
        await roles.role_update(tx, roles_of_cloud["admin"], {"name": "root"})
        with pytest.raises(Forbidden):
            await roles.role_update(tx, made["id"], {"name": "admin"})


async def test_two_rules_side_by_side_close_no_circle(cloud: Cloud) -> None:
    for _ in range(5):
        one, two = await cloud.made("role"), await cloud.made("role")
        both = await asyncio.gather(imply(cloud, one["id"], two["id"]), imply(cloud, two["id"], one["id"]))
        assert sorted(both) == [201, 400]
    assert await imply(cloud, one["id"], one["id"]) == 400
    assert await imply(cloud, one["id"], "0" * 32) == 404


async def test_implied_roles_are_shown_listed_and_checked(cloud: Cloud) -> None:
    prior, implied = await cloud.made("role"), await cloud.made("role")
    path = f"/roles/{prior['id']}/implies"
    assert (await cloud.call("GET", path)).body["role_inference"]["implies"] == []
    assert await imply(cloud, prior["id"], implied["id"]) == 201
    listed = (await cloud.call("GET", path)).body["role_inference"]
    brief = {"id": implied["id"], "name": implied["name"], "links": implied["links"]}
    assert (listed["prior_role"]["id"], listed["implies"]) == (prior["id"], [brief])
    shown = (await cloud.call("GET", f"{path}/{implied['id']}")).body
    assert shown["role_inference"]["implies"] == brief
    assert shown["links"]["self"].endswith(f"{path}/{implied['id']}")
    assert (await cloud.call("HEAD", f"{path}/{implied['id']}")).status == 204
    assert (await cloud.call("DELETE", f"/roles/{implied['id']}")).status == 204
    assert (await cloud.call("GET", path)).body["role_inference"]["implies"] == []


async def test_roles_of_a_domain_are_apart_from_those_of_the_cloud(cloud: Cloud) -> None:
    domain = await cloud.made("domain")
    everywhere = await cloud.made("role", name="keeper")
    local = await cloud.made("role", name="keeper", domain_id=domain["id"])

    async def listed(query: str) -> set[str]:
        return {role["id"] for role in (await cloud.call("GET", f"/roles?{query}")).body["roles"]}

    assert await listed(f"domain_id={domain['id']}") == {local["id"]}
    assert await listed("name=keeper") == {everywhere["id"]}
    assert await listed(f"domain_id={domain['id']}&name__contains=zzz") == set()
    moved = await cloud.call("PATCH", f"/roles/{local['id']}", {"role": {"domain_id": "default"}})
    assert moved.status == 400
    again = {"role": {"name": "keeper", "domain_id": domain["id"]}}
    assert (await cloud.call("POST", "/roles", again)).status == 409


async def test_a_domains_manager_sees_the_roles_that_it_may_give_and_no_others(cloud: Cloud) -> None:
    domain = await cloud.made("domain")
    local = await cloud.made("role", domain_id=domain["id"])
    user = await cloud.made("user", password=PASSWORD, domain_id=domain["id"])
    path = f"/domains/{domain['id']}/users/{user['id']}/roles/{cloud.roles['manager']}"
    assert (await cloud.call("PUT", path)).status == 204
    token = await cloud.token(user["id"], scope={"domain": {"id": domain["id"]}})
    names = {role["name"] for role in (await cloud.call("GET", "/roles", token=token)).body["roles"]}
    assert names == {"manager", "member", "reader"}
    assert (await cloud.call("GET", f"/roles/{cloud.roles['member']}", token=token)).status == 200
    assert (await cloud.call("GET", f"/roles/{cloud.roles['admin']}", token=token)).status == 403
    for method, body in (("GET", None), ("PATCH", {"role": {"name": "x"}}), ("DELETE", None)):
        assert (await cloud.call(method, f"/roles/{local['id']}", body, token=token)).status == 403
    assert (await cloud.call("GET", f"/roles?domain_id={domain['id']}", token=token)).status == 403
    for asked in ({"name": "x"}, {"name": "x", "domain_id": domain["id"]}):
        assert (await cloud.call("POST", "/roles", {"role": asked}, token=token)).status == 403


async def test_the_roles_of_a_new_cloud_cannot_be_changed_by_mistake(cloud: Cloud) -> None:
    for name, role_id in cloud.roles.items():
        role = (await cloud.call("GET", f"/roles/{role_id}")).body["role"]
        assert (role["name"], role["options"]) == (name, {"immutable": True})
        assert (await cloud.call("DELETE", f"/roles/{role_id}")).status == 403
        assert (await cloud.call("PATCH", f"/roles/{role_id}", {"role": {"name": "x"}})).status == 403


async def test_role_options_of_another_shape_are_refused(cloud: Cloud) -> None:
    wrong: list[Any] = [{"immutable": 1}, {"mutable": True}, [], "immutable", {"immutable": True, "x": None}]
    for options in wrong:
        assert (await cloud.call("POST", "/roles", {"role": {"name": "x", "options": options}})).status == 400, options


@pytest.mark.parametrize("end", ["rule", "role"])
async def test_what_was_delegated_of_a_role_ends_with_what_it_came_from(cloud: Cloud, end: str) -> None:
    """Security classes 7 and 8: the token carries the implied role alone, and not the one that it came by."""
    prior, implied = await cloud.made("role"), await cloud.made("role")
    assert await imply(cloud, prior["id"], implied["id"]) == 201
    user, project = await cloud.made("user", password=PASSWORD), await cloud.made("project")
    path = f"/projects/{project['id']}/users/{user['id']}/roles/{prior['id']}"
    assert (await cloud.call("PUT", path)).status == 204
    token = await cloud.token(user["id"], project["id"])
    asked = {"application_credential": {"name": "part", "roles": [{"id": implied["id"]}]}}
    made = await cloud.call("POST", f"/users/{user['id']}/application_credentials", asked, token)
    assert made.status == 201, made
    shown = {key: made.body["application_credential"][key] for key in ("id", "secret")}
    identity = {"methods": ["application_credential"], "application_credential": shown}
    answer = await cloud.auth(identity)
    assert [role["id"] for role in answer.body["token"]["roles"]] == [implied["id"]]
    derived = answer.headers["X-Subject-Token"]
    assert await cloud.works(derived)
    gone = f"/roles/{prior['id']}" + (f"/implies/{implied['id']}" if end == "rule" else "")
    assert (await cloud.call("DELETE", gone)).status == 204
    assert not await cloud.works(derived)
    assert (await cloud.auth(identity)).status == 401

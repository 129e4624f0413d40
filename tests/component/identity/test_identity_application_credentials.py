"""Application credentials: what unrestricted ones may, what ends them, and how many there can be."""

from __future__ import annotations

from typing import Any

import pytest
from identity_cloud import Cloud

from skybus.identity.delegation import access_rules, application_credentials
from support.front import Answer


async def asked(cloud: Cloud, user: Any, token: str, **wanted: Any) -> Answer:
    """`POST .../application_credentials`."""
    wanted.setdefault("name", "c")
    return await cloud.call(
        "POST", f"/users/{user['id']}/application_credentials", {"application_credential": wanted}, token
    )


async def login(cloud: Cloud, made: Answer) -> Answer:
    """A token by a credential that was just made."""
    assert made.status == 201, made
    credential = made.body["application_credential"]
    shown = {"id": credential["id"], "secret": credential["secret"]}
    return await cloud.auth({"methods": ["application_credential"], "application_credential": shown})


def token_of(answer: Answer) -> str:
    assert answer.status == 201, answer
    return answer.headers["X-Subject-Token"]


async def test_an_unrestricted_credential_makes_and_deletes_others_with_no_more_roles_than_it_has(cloud: Cloud) -> None:
    user, _, token = await cloud.member()
    first = await asked(cloud, user, token, roles=[{"name": "reader"}], unrestricted=True)
    derived = token_of(await login(cloud, first))
    assert (await asked(cloud, user, derived, name="more", roles=[{"name": "member"}])).status == 400
    second = await asked(cloud, user, derived, name="second")
    answer = await login(cloud, second)
    assert [role["name"] for role in answer.body["token"]["roles"]] == ["reader"]
    path = f"/users/{user['id']}/application_credentials/{second.body['application_credential']['id']}"
    assert (await cloud.call("DELETE", path, token=token_of(answer))).status == 403
    assert (await cloud.call("DELETE", path, token=derived)).status == 204
    assert not await cloud.works(token_of(answer))


async def test_a_user_passes_on_what_it_was_given_since_its_login_and_a_credential_does_not(cloud: Cloud) -> None:
    user, project, token = await cloud.member("reader")
    derived = token_of(await login(cloud, await asked(cloud, user, token, unrestricted=True)))
    role = await cloud.made("role")
    path = f"/projects/{project['id']}/users/{user['id']}/roles/{role['id']}"
    assert (await cloud.call("PUT", path)).status == 204
    answer = await login(cloud, await asked(cloud, user, token, name="later", roles=[{"id": role["id"]}]))
    assert [one["id"] for one in answer.body["token"]["roles"]] == [role["id"]]
    refused = await asked(cloud, user, derived, name="more", roles=[{"id": role["id"]}])
    assert refused.status == 400


async def test_no_credentials_token_manages_trusts_not_even_an_unrestricted_ones(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    derived = token_of(await login(cloud, await asked(cloud, user, token, unrestricted=True)))
    trust = {
        "trustor_user_id": user["id"],
        "trustee_user_id": cloud.admin_id,
        "project_id": project["id"],
        "impersonation": True,
        "roles": [{"name": "member"}],
    }
    made = await cloud.call("POST", "/OS-TRUST/trusts", {"trust": trust}, token)
    path = f"/OS-TRUST/trusts/{made.body['trust']['id']}"
    for method, where, body in (
        ("POST", "/OS-TRUST/trusts", {"trust": trust}),
        ("GET", f"/OS-TRUST/trusts?trustor_user_id={user['id']}", None),
        ("GET", path, None),
        ("GET", f"{path}/roles", None),
        ("DELETE", path, None),
    ):
        assert (await cloud.call(method, where, body, derived)).status == 403, (method, where)
    shown = {"id": "0", "secret": "0"}
    scope = {"OS-TRUST:trust": {"id": made.body["trust"]["id"]}}
    answer = await cloud.auth({"methods": ["application_credential"], "application_credential": shown}, scope)
    assert answer.status == 401


@pytest.mark.parametrize("inherited", [False, True])
async def test_a_credential_ends_with_the_role_that_it_carries_and_does_not_come_back(
    cloud: Cloud, inherited: bool
) -> None:
    user, project, token = await cloud.member("reader")
    kept = await asked(cloud, user, token, name="kept")
    member = f"/projects/{project['id']}/users/{user['id']}/roles/{cloud.roles['member']}"
    if inherited:
        member = f"/OS-INHERIT/domains/default/users/{user['id']}/roles/{cloud.roles['member']}/inherited_to_projects"
    assert (await cloud.call("PUT", member)).status == 204
    token = await cloud.token(user["id"], project["id"])
    lost = await asked(cloud, user, token, name="lost")
    old = token_of(await login(cloud, lost))
    assert (await cloud.call("DELETE", member)).status == 204
    assert not await cloud.works(old)
    assert (await login(cloud, lost)).status == 401
    assert (await cloud.call("PUT", member)).status == 204
    assert (await login(cloud, lost)).status == 401
    assert (await login(cloud, kept)).status == 201


async def test_a_credential_whose_role_came_by_a_group_goes_on_with_what_is_left(cloud: Cloud) -> None:
    user, project, _ = await cloud.member("reader")
    group = await cloud.made("group")
    grant = f"/projects/{project['id']}/groups/{group['id']}/roles/{cloud.roles['member']}"
    membership = f"/groups/{group['id']}/users/{user['id']}"
    for path in (grant, membership):
        assert (await cloud.call("PUT", path)).status == 204
    made = await asked(cloud, user, await cloud.token(user["id"], project["id"]))
    old = token_of(await login(cloud, made))
    assert (await cloud.call("DELETE", membership)).status == 204
    assert not await cloud.works(old)
    answer = await login(cloud, made)
    assert [role["name"] for role in answer.body["token"]["roles"]] == ["reader"]


async def test_credentials_and_rules_are_made_in_bounded_numbers(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    user, _, token = await cloud.member()
    monkeypatch.setattr(application_credentials, "MOST", 2)
    monkeypatch.setattr(access_rules, "MOST", 1)
    rules = [{"service": "compute", "method": "GET", "path": f"/{number}"} for number in range(2)]
    assert (await asked(cloud, user, token, access_rules=rules)).status == 403
    answers = [await asked(cloud, user, token, name=name, access_rules=rules[:1]) for name in "abc"]
    assert [answer.status for answer in answers] == [201, 201, 403]

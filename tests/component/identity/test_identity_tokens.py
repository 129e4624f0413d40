"""Tokens through the API: issued, scoped, validated, prolonged by nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from identity_cloud import PASSWORD, Cloud

from skybus import clock
from skybus.errors import Unauthorized


async def test_a_password_opens_an_unscoped_token(cloud: Cloud) -> None:
    user = await cloud.made("user", password=PASSWORD)
    answer = await cloud.password(user["id"])
    assert answer.status == 201
    token = answer.body["token"]
    assert token["user"] == {
        "id": user["id"],
        "name": user["name"],
        "domain": {"id": "default", "name": "Default"},
        "password_expires_at": None,
    }
    assert token["methods"] == ["password"]
    assert len(token["audit_ids"]) == 1
    assert not {"catalog", "project", "roles", "domain", "system"} & set(token)


async def test_a_user_is_found_by_name_and_the_name_of_its_domain(cloud: Cloud) -> None:
    user = {"name": "admin", "domain": {"name": "Default"}, "password": PASSWORD}
    scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
    answer = await cloud.auth({"methods": ["password"], "password": {"user": user}}, scope)
    assert answer.status == 201
    assert answer.body["token"]["project"]["name"] == "admin"
    assert [role["name"] for role in answer.body["token"]["roles"]] == ["admin", "manager", "member", "reader"]


async def test_the_catalog_tells_where_everything_is(cloud: Cloud) -> None:
    answer = await cloud.password(cloud.admin_id, scope={"project": {"id": cloud.project_id}})
    catalog = {service["type"]: service for service in answer.body["token"]["catalog"]}
    public = {
        kind: endpoint["url"]
        for kind, service in catalog.items()
        for endpoint in service["endpoints"]
        if endpoint["interface"] == "public"
    }
    assert public["compute"] == "http://cloud.test/compute/v2.1"
    assert public["identity"] == "http://cloud.test/identity"
    assert {"volumev3", "image", "network", "event-stream"} <= set(public)
    brief = await cloud.password(cloud.admin_id, scope={"project": {"id": cloud.project_id}}, query="?nocatalog")
    assert "catalog" not in brief.body["token"]
    listed = await cloud.call("GET", "/auth/catalog")
    assert listed.body["catalog"] == answer.body["token"]["catalog"]


@pytest.mark.parametrize(
    ("scope", "shown"),
    [
        ({"domain": {"id": "default"}}, "domain"),
        ({"domain": {"name": "Default"}}, "domain"),
        ({"system": {"all": True}}, "system"),
    ],
)
async def test_a_token_can_be_scoped_to_a_domain_and_to_the_system(cloud: Cloud, scope: Any, shown: str) -> None:
    answer = await cloud.password(cloud.admin_id, scope=scope)
    assert answer.status == 201
    assert shown in answer.body["token"]
    assert "project" not in answer.body["token"]
    assert await cloud.works(answer.headers["X-Subject-Token"])


async def test_a_scope_without_a_role_is_refused(cloud: Cloud) -> None:
    user = await cloud.made("user", password=PASSWORD)
    for scope in (
        {"project": {"id": cloud.project_id}},
        {"domain": {"id": "default"}},
        {"system": {"all": True}},
        {"project": {"id": "nowhere"}},
    ):
        assert (await cloud.password(user["id"], scope=scope)).status == 401


async def test_the_default_project_is_taken_when_no_scope_is_asked_for(cloud: Cloud) -> None:
    user, project, _ = await cloud.member()
    await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"default_project_id": project["id"]}})
    assert (await cloud.password(user["id"])).body["token"]["project"]["id"] == project["id"]
    assert "project" not in (await cloud.password(user["id"], scope="unscoped")).body["token"]
    assert "project" not in (await cloud.password(user["id"], scope={"unscoped": {}})).body["token"]


async def test_authenticating_again_never_prolongs(cloud: Cloud) -> None:
    """Security class 7."""
    user, project, _ = await cloud.member()
    first = await cloud.password(user["id"])
    began = clock.now()
    clock.use(lambda: began + timedelta(minutes=30))
    try:
        second = await cloud.again(first.headers["X-Subject-Token"], {"project": {"id": project["id"]}})
        third = await cloud.again(second.headers["X-Subject-Token"])
    finally:
        clock.use(None)
    assert second.status == third.status == 201
    ends = {answer.body["token"]["expires_at"] for answer in (first, second, third)}
    assert len(ends) == 1
    assert set(second.body["token"]["methods"]) == {"password", "token"}
    assert third.body["token"]["audit_ids"][1] == first.body["token"]["audit_ids"][0]


async def test_an_expired_token_opens_nothing(cloud: Cloud) -> None:
    """Security class 7."""
    token = await cloud.token(cloud.admin_id, cloud.project_id)
    began = clock.now()
    clock.use(lambda: began + timedelta(seconds=cloud.identity.tokens.seconds + 1))
    try:
        assert not await cloud.works(token)
        assert (await cloud.again(token)).status == 404
    finally:
        clock.use(None)


async def test_validation_shows_what_issuing_showed(cloud: Cloud) -> None:
    answer = await cloud.password(cloud.admin_id, scope={"project": {"id": cloud.project_id}})
    subject = answer.headers["X-Subject-Token"]
    for _ in range(2):
        shown = await cloud.call("GET", "/auth/tokens", headers={"X-Subject-Token": subject})
        assert shown.status == 200
        assert shown.body == answer.body
        assert shown.headers["X-Subject-Token"] == subject
    head = await cloud.call("HEAD", "/auth/tokens", headers={"X-Subject-Token": subject})
    assert (head.status, head.data) == (200, b"")


async def test_validation_knows_a_new_name_at_once(cloud: Cloud) -> None:
    user, _, token = await cloud.member()
    headers = {"X-Subject-Token": token}
    assert (await cloud.call("GET", "/auth/tokens", headers=headers)).body["token"]["user"]["name"] == user["name"]
    await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"name": "renamed"}})
    assert (await cloud.call("GET", "/auth/tokens", headers=headers)).body["token"]["user"]["name"] == "renamed"


async def test_a_stranger_may_not_validate_or_revoke_anothers_token(cloud: Cloud) -> None:
    """Security class 14."""
    _, _, mine = await cloud.member()
    _, _, theirs = await cloud.member()
    for method in ("GET", "HEAD", "DELETE"):
        answer = await cloud.call(method, "/auth/tokens", token=mine, headers={"X-Subject-Token": theirs})
        assert answer.status == 403
    assert await cloud.works(theirs)
    own = await cloud.call("GET", "/auth/tokens", token=mine, headers={"X-Subject-Token": mine})
    assert own.status == 200


async def test_what_is_no_token_is_not_found(cloud: Cloud) -> None:
    for subject in ("", "nonsense", "sky1.", "sky1.AAAA", "sky1." + "A" * 3000, "sky1.\u00e4"):
        answer = await cloud.call("GET", "/auth/tokens", headers={"X-Subject-Token": subject})
        assert answer.status == (404 if subject else 400)
        assert (await cloud.again(subject)).status == 404


async def test_a_forged_token_is_refused(cloud: Cloud) -> None:
    """Security class 9: nothing but the signature makes a caller."""
    token = cloud.admin_token
    for place in range(6, len(token), 7):
        forged = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        if forged.rstrip("=") != token:
            answer = await cloud.client.call("GET", "/identity/v3/users", token=forged)
            assert answer.status == 401, place
    headers = {
        "X-Roles": "admin",
        "X-User-Id": cloud.admin_id,
        "X-Project-Id": cloud.project_id,
        "X-Is-Admin-Project": "True",
    }
    assert (await cloud.client.call("GET", "/identity/v3/users", token=None, headers=headers)).status == 401


async def test_a_hosts_image_token_reads_one_image_and_nothing_here(cloud: Cloud) -> None:
    """Security class 8."""
    token = cloud.identity.tokens.issue_image_token("0190d3e6-7c51-7000-8000-000000000001", 60)
    caller = await cloud.identity.tokens.authenticate(token)
    assert caller.image_id == "0190d3e6-7c51-7000-8000-000000000001"
    assert caller.project_id is None
    assert (await cloud.client.call("GET", "/identity/v3/auth/projects", token=token)).status == 403
    assert (await cloud.again(token)).status == 404
    assert (await cloud.call("GET", "/auth/tokens", headers={"X-Subject-Token": token})).status == 404


async def test_an_unknown_user_gets_the_answer_of_a_wrong_password(cloud: Cloud) -> None:
    """Security class 17."""
    user = await cloud.made("user", password=PASSWORD)
    idle = await cloud.made("user")
    off = await cloud.made("user", password=PASSWORD, enabled=False)
    answers = [
        await cloud.password(user["id"], "wrong"),
        await cloud.password("0" * 32),
        await cloud.password(idle["id"]),
        await cloud.password(idle["id"], ""),
        await cloud.password(off["id"]),
    ]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.data for answer in answers}) == 1
    assert all(PASSWORD.encode() not in answer.data for answer in answers)


async def test_long_passwords_count_to_their_last_letter(cloud: Cloud) -> None:
    long = "x" * 100
    user = await cloud.made("user", password=long + "a")
    assert (await cloud.password(user["id"], long + "a")).status == 201
    assert (await cloud.password(user["id"], long + "b")).status == 401
    assert (await cloud.password(user["id"], "y" * 5000)).status == 400


MALFORMED: list[Any] = [
    {},
    {"auth": {}},
    {"auth": {"identity": {"methods": []}}},
    {"auth": {"identity": {"methods": ["password"]}}},
    {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "admin", "password": "x"}}}}},
    {"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": 7, "password": "x"}}}}},
    {"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": "a\x00b", "password": "x"}}}}},
    {"auth": {"identity": {"methods": "password"}}},
]


async def test_a_malformed_login_is_a_bad_request(cloud: Cloud) -> None:
    for body in MALFORMED:
        answer = await cloud.client.call("POST", "/identity/v3/auth/tokens", body, token=None)
        assert answer.status == 400, body
        assert set(answer.body["error"]) == {"code", "title", "message"}


async def test_where_a_user_may_go_is_listed(cloud: Cloud) -> None:
    _, project, token = await cloud.member()
    assert [one["id"] for one in (await cloud.call("GET", "/auth/projects", token=token)).body["projects"]] == [
        project["id"]
    ]
    assert (await cloud.call("GET", "/auth/domains", token=token)).body["domains"] == []
    assert (await cloud.call("GET", "/auth/system", token=token)).body["system"] == []
    assert (await cloud.call("GET", "/auth/system")).body["system"] == [{"all": True}]
    assert [one["id"] for one in (await cloud.call("GET", "/auth/domains")).body["domains"]] == ["default"]


async def test_the_versions_are_told_to_anybody(cloud: Cloud) -> None:
    many = await cloud.client.call("GET", "/identity", token=None)
    one = await cloud.client.call("GET", "/identity/v3/", token=None)
    assert many.status == 300
    assert many.body["versions"]["values"] == [one.body["version"]]
    assert one.body["version"]["links"][0]["href"] == cloud.client.url + "/identity/v3/"


async def test_a_login_that_overlaps_a_revocation_does_not_survive_it(cloud: Cloud) -> None:
    """Security class 7: whichever commits first, no token made from the old state is left."""
    user = await cloud.made("user", password=PASSWORD)

    async def disable() -> None:
        assert (await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"enabled": False}})).status == 200

    answers, *_ = await asyncio.gather(asyncio.gather(*(cloud.password(user["id"]) for _ in range(8))), disable())
    for answer in answers:
        if answer.status == 201:
            with pytest.raises(Unauthorized):
                await cloud.identity.tokens.authenticate(answer.headers["X-Subject-Token"])

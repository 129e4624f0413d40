"""Users of a real OpenID provider come in with its tokens."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from identity_cloud import PASSWORD, Cloud
from openid_cloud import AT, BY_GROUP, BY_NAME, Believing

from support.loopback import free_port
from support.openid_provider import OpenId, openid_provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OpenId]:
    """One provider for all tests here; each has a cloud of its own."""
    async with openid_provider(tmp_path_factory.mktemp("openid"), free_port()) as running:
        yield running


@pytest.fixture
async def people(cloud: Cloud, provider: OpenId) -> AsyncIterator[Believing]:
    """A cloud that believes it. The session of the provider's own loop is not ours to use."""
    import aiohttp

    async with aiohttp.ClientSession() as http:
        believing = Believing(cloud, OpenId(provider.port, http))
        await believing.set_up([BY_NAME, BY_GROUP])
        yield believing
        await cloud.identity.openid.close()


async def _engineers(cloud: Cloud, role: str = "member") -> tuple[Any, Any]:
    """A group of that name with a role on a project."""
    group, project = await cloud.made("group", name="engineers"), await cloud.made("project")
    path = f"/projects/{project['id']}/groups/{group['id']}/roles/{cloud.roles[role]}"
    assert (await cloud.call("PUT", path)).status == 204
    return group, project


async def test_a_users_token_buys_one_without_scope_and_that_one_a_project(people: Believing) -> None:
    cloud = people.cloud
    group, project = await _engineers(cloud)
    answer = await people.alice()
    token = answer.body["token"]
    assert token["methods"] == ["openid"]
    assert token["user"]["name"] == "alice"
    assert token["user"]["domain"]["id"] == people.domain_id
    assert "password_expires_at" not in token["user"]
    assert token["user"]["OS-FEDERATION"] == {
        "identity_provider": {"id": "people"},
        "protocol": {"id": "openid"},
        "groups": [{"id": group["id"]}],
    }
    assert "roles" not in token
    unscoped = answer.headers["X-Subject-Token"]
    reach = await cloud.call("GET", "/OS-FEDERATION/projects", token=unscoped)
    assert [one["id"] for one in reach.body["projects"]] == [project["id"]]
    scoped = await cloud.again(unscoped, {"project": {"id": project["id"]}})
    assert scoped.status == 201
    assert [role["name"] for role in scoped.body["token"]["roles"]] == ["member", "reader"]
    assert scoped.body["token"]["user"]["OS-FEDERATION"]["protocol"] == {"id": "openid"}
    assert scoped.body["token"]["expires_at"] == token["expires_at"]
    older = {"methods": ["mapped"], "mapped": {"id": unscoped}}
    assert (await cloud.auth(older, {"project": {"id": project["id"]}})).status == 201
    assert (await cloud.auth({"methods": ["mapped"], "mapped": {"id": cloud.admin_token}})).status == 401
    assert (await cloud.auth({"methods": ["openid"], "openid": {"identity_provider": "people"}})).status == 401


async def test_the_same_person_is_the_same_user_every_time(people: Believing) -> None:
    both = await asyncio.gather(people.alice(), people.alice())
    again = await people.come(await people.openid.by_password("alice"), "GET")
    ids = {answer.body["token"]["user"]["id"] for answer in (*both, again)}
    assert len(ids) == 1
    shown = (await people.cloud.call("GET", f"/users/{ids.pop()}")).body["user"]
    assert (shown["name"], shown["email"]) == ("alice", "alice@people.example")
    bob = await people.come(await people.openid.by_password("bob"))
    assert bob.body["token"]["user"]["name"] == "bob"
    listed = await people.cloud.call("GET", f"/users?domain_id={people.domain_id}")
    assert sorted(one["name"] for one in listed.body["users"]) == ["alice", "bob"]


async def test_an_opaque_token_is_asked_about(people: Believing) -> None:
    people_only = {"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "OIDC-client_id"}]}
    await people.rules(people_only)
    opaque = await people.openid.by_client()
    answer = await people.come(opaque)
    assert answer.status == 201, answer
    assert answer.body["token"]["user"]["name"] == "skybus"
    assert (await people.come(opaque[:-1] + "x")).status == 401
    await people.believe(client_secret="")
    assert (await people.come(opaque)).status == 401


async def test_a_token_for_somebody_else_opens_nothing(people: Believing) -> None:
    foreign = await people.openid.grant(
        "elsewhere", grant_type="password", username="alice", password="not known to the cloud", scope="openid email"
    )
    assert (await people.come(foreign)).status == 401
    good = await people.openid.by_password("alice")
    await people.believe(audience=["other"])
    assert (await people.come(good)).status == 401


async def test_a_forged_token_opens_nothing(people: Believing) -> None:
    """Security class 9."""
    head, body, mac = (await people.openid.by_password("bob")).split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=="))
    said["sub"] = "alice"
    forged = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).decode().rstrip("=")
    for token in (f"{head}.{forged}.{mac}", f"{none}.{forged}.", f"{none}.{forged}.{mac}", f"{head}.{body}.", "x", "."):
        answer = await people.come(token)
        assert answer.status == 401, token
    headers = {"OIDC-sub": "alice", "HTTP_OIDC_ISS": people.openid.issuer, "REMOTE_USER": "alice", "Oidc-Sub": "alice"}
    where = "/identity/v3" + AT + "/protocols/openid/auth"
    assert (await people.cloud.client.call("POST", where, token=None, headers=headers)).status == 401


async def test_only_an_enabled_provider_with_this_name_lets_people_in(people: Believing) -> None:
    cloud = people.cloud
    good = await people.openid.by_password("alice")
    first = (await people.come(good)).headers["X-Subject-Token"]
    assert await cloud.works(first)
    assert (await people.come(good, at=AT + "/protocols/other/auth")).status == 404
    assert (await people.come(good, at=AT.replace("people", "nobody") + "/protocols/openid/auth")).status == 404
    await cloud.call("PATCH", AT, {"identity_provider": {"enabled": False}})
    assert not await cloud.works(first)
    assert (await people.come(good)).status == 401
    await cloud.call("PATCH", AT, {"identity_provider": {"enabled": True}})
    second = (await people.come(good)).headers["X-Subject-Token"]
    await cloud.call("PATCH", AT, {"identity_provider": {"remote_ids": ["https://other.example"]}})
    assert not await cloud.works(second)
    assert (await people.come(good)).status == 401
    await cloud.call("PATCH", AT, {"identity_provider": {"remote_ids": [people.openid.issuer]}})
    third = (await people.come(good)).headers["X-Subject-Token"]
    await cloud.call("DELETE", AT + "/protocols/openid")
    assert not await cloud.works(third)
    assert (await people.come(good)).status == 404


async def test_other_rules_end_what_the_old_ones_gave(people: Believing) -> None:
    """Security class 7."""
    cloud = people.cloud
    _, project = await _engineers(cloud)
    unscoped = (await people.alice()).headers["X-Subject-Token"]
    scoped = (await cloud.again(unscoped, {"project": {"id": project["id"]}})).headers["X-Subject-Token"]
    assert await cloud.works(scoped)
    await people.rules(BY_NAME)
    assert not await cloud.works(scoped)
    assert not await cloud.works(unscoped)
    later = (await people.alice()).headers["X-Subject-Token"]
    assert await cloud.works(later)
    assert (await cloud.again(later, {"project": {"id": project["id"]}})).status == 401


async def test_a_group_that_the_provider_takes_away_takes_its_tokens_along(people: Believing) -> None:
    """Security class 7: the next login with less ends what the one with more had."""
    cloud = people.cloud
    group, project = await _engineers(cloud)
    first = await people.alice()
    scoped = await cloud.again(first.headers["X-Subject-Token"], {"project": {"id": project["id"]}})
    user_id = first.body["token"]["user"]["id"]
    mine = await cloud.call("GET", f"/users/{user_id}/groups")
    assert [one["id"] for one in mine.body["groups"]] == [group["id"]]
    async with cloud.identity.store.transaction() as tx:
        await tx.execute("UPDATE identity.\"group\" SET name = 'renamed' WHERE id = $1", group["id"])
    second = await people.alice()
    assert not await cloud.works(scoped.headers["X-Subject-Token"])
    assert await cloud.works(second.headers["X-Subject-Token"])
    assert second.body["token"]["user"]["OS-FEDERATION"]["groups"] == []


async def test_memberships_run_out(people: Believing) -> None:
    cloud = people.cloud
    _, project = await _engineers(cloud)
    await cloud.call("PATCH", AT, {"identity_provider": {"authorization_ttl": 600}})
    token = (await people.alice()).headers["X-Subject-Token"]
    left = "SELECT extract(epoch FROM expires_at - now()) FROM identity.expiring_membership"
    assert 590 * 60 < await cloud.identity.store.fetchval(left) <= 600 * 60
    async with cloud.identity.store.transaction() as tx:
        await tx.execute("UPDATE identity.expiring_membership SET expires_at = now()")
    assert (await cloud.again(token, {"project": {"id": project["id"]}})).status == 401


async def test_a_mapping_makes_projects_and_gives_roles_on_them(people: Believing) -> None:
    cloud = people.cloud
    home = {"name": "home of {0}", "roles": [{"name": "member"}]}
    await people.rules({"local": [{"user": {"name": "{0}"}, "projects": [home]}], "remote": [{"type": "OIDC-sub"}]})
    for _ in range(2):
        token = (await people.alice()).headers["X-Subject-Token"]
    reach = (await cloud.call("GET", "/auth/projects", token=token)).body["projects"]
    assert [(one["name"], one["domain_id"]) for one in reach] == [("home of alice", people.domain_id)]
    assert (await cloud.again(token, {"project": {"id": reach[0]["id"]}})).status == 201
    wrong = {"name": "other", "roles": [{"name": "no such role"}]}
    await people.rules({"local": [{"user": {"name": "{0}"}, "projects": [wrong]}], "remote": [{"type": "OIDC-sub"}]})
    assert (await people.come(await people.openid.by_password("alice"))).status == 401
    assert (await cloud.call("GET", "/projects?name=other")).body["projects"] == []


async def test_a_mapping_may_mean_one_of_our_own_users(people: Believing) -> None:
    cloud = people.cloud
    alice = await cloud.made("user", name="alice", password=PASSWORD)
    local = {"user": {"name": "{0}", "type": "local", "domain": {"id": "default"}}}
    await people.rules({"local": [local], "remote": [{"type": "OIDC-sub"}]})
    token = (await people.alice()).body["token"]
    assert token["user"]["id"] == alice["id"]
    assert "OS-FEDERATION" not in token["user"]
    assert (await people.come(await people.openid.by_password("bob"))).status == 401
    await cloud.call("PATCH", f"/users/{alice['id']}", {"user": {"enabled": False}})
    assert (await people.come(await people.openid.by_password("alice"))).status == 401


async def test_a_disabled_user_or_domain_stays_out(people: Believing) -> None:
    cloud = people.cloud
    answer = await people.alice()
    user_id = answer.body["token"]["user"]["id"]
    await cloud.call("PATCH", f"/users/{user_id}", {"user": {"enabled": False}})
    assert not await cloud.works(answer.headers["X-Subject-Token"])
    assert (await people.come(await people.openid.by_password("alice"))).status == 401
    await cloud.call("PATCH", f"/users/{user_id}", {"user": {"enabled": True}})
    await people.alice()
    await cloud.call("PATCH", f"/domains/{people.domain_id}", {"domain": {"enabled": False}})
    assert (await people.come(await people.openid.by_password("alice"))).status == 401


async def test_a_federated_user_is_nobody_of_ours_with_the_same_name(people: Believing) -> None:
    cloud = people.cloud
    ours = await cloud.made("user", name="alice", password=PASSWORD, domain_id=people.domain_id)
    theirs = (await people.alice()).body["token"]["user"]
    assert theirs["id"] != ours["id"]
    assert theirs["name"] == "alice@people"
    assert (await cloud.password(theirs["id"], "")).status == 401
    assert (await cloud.password(theirs["id"], PASSWORD)).status == 401


async def test_a_provider_that_is_away_is_told_as_such_and_bothers_nobody_else(people: Believing) -> None:
    good = await people.openid.by_password("alice")
    closed = f"http://127.0.0.1:{free_port()}"
    body = {"identity_provider": {"remote_ids": [closed]}}
    assert (await people.cloud.call("PATCH", AT, body)).status == 200
    await people.believe(issuer=closed)
    said = json.dumps({"iss": closed}).encode()
    foreign = ".".join((good.split(".")[0], base64.urlsafe_b64encode(said).decode().rstrip("="), good.split(".")[2]))
    answer = await people.come(foreign)
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    assert await people.cloud.works(people.cloud.admin_token)


async def test_no_token_of_a_provider_is_written_anywhere(people: Believing, capfd: pytest.CaptureFixture[str]) -> None:
    """Security class 18."""
    good = await people.openid.by_password("alice")
    answers = [await people.come(good), await people.come(good + "x"), await people.come("opaque-canary-of-mine")]
    rows = await people.cloud.identity.store.fetch(
        "SELECT body FROM bus.outbox UNION ALL SELECT body::text FROM bus.event"
    )
    written = "".join(capfd.readouterr()) + "".join(str(row["body"]) for row in rows)
    for secret in (good, good.split(".")[2], "opaque-canary-of-mine", "a secret of this test alone"):
        assert secret not in written
        assert all(secret.encode() not in answer.data for answer in answers)


async def test_keys_may_change_while_nobody_looks(cloud: Cloud, tmp_path: Any) -> None:
    """A provider that comes back with another key is believed again, after one question and not one a token."""
    from joserfc.jwk import RSAKey

    old, new = (RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True) for _ in range(2))
    port = free_port()
    async with openid_provider(tmp_path, port, keys=[old]) as before:
        people = Believing(cloud, before)
        await people.set_up([BY_NAME])
        first = await before.by_password("alice")
        assert (await people.come(first)).status == 201
    async with openid_provider(tmp_path, port, keys=[new]) as after:
        people.openid = after
        known = cloud.identity.openid.by_issuer[after.issuer]
        token = await after.by_password("alice")
        known._known_at = known._asked_at = time.monotonic()  # asked a moment ago: patience
        assert (await people.come(token)).status == 401
        known._known_at -= 11
        known._asked_at -= 11
        assert (await people.come(token)).status == 201
        assert (await people.come(first)).status == 401
    await cloud.identity.openid.close()


async def test_an_administrator_may_say_beforehand_who_somebody_is(people: Believing) -> None:
    cloud = people.cloud
    links = [{"idp_id": "people", "protocols": [{"protocol_id": "openid", "unique_id": "alice"}]}]
    made = await cloud.made("user", name="a-of-ours", federated=links)
    assert (await cloud.call("GET", f"/users/{made['id']}")).body["user"]["federated"] == links
    token = (await people.alice()).body["token"]
    assert (token["user"]["id"], token["user"]["name"]) == (made["id"], "a-of-ours")
    assert token["user"]["OS-FEDERATION"]["identity_provider"] == {"id": "people"}
    for query in ("idp_id=people", "unique_id=alice", "idp_id=people&protocol_id=openid&unique_id=alice"):
        found = (await cloud.call("GET", f"/users?{query}")).body["users"]
        assert [one["id"] for one in found] == [made["id"]], query
    assert (await cloud.call("GET", "/users?unique_id=bob")).body["users"] == []
    twice = {"user": {"name": "other", "federated": links}}
    assert (await cloud.call("POST", "/users", twice)).status == 409
    unknown = [{"idp_id": "people", "protocols": [{"protocol_id": "saml", "unique_id": "x"}]}]
    assert (await cloud.call("PATCH", f"/users/{made['id']}", {"user": {"federated": unknown}})).status == 400
    worked = (await people.alice()).headers["X-Subject-Token"]
    assert (await cloud.call("PATCH", f"/users/{made['id']}", {"user": {"federated": []}})).status == 200
    assert not await cloud.works(worked)
    assert (await people.alice()).body["token"]["user"]["id"] != made["id"]


async def test_who_rules_in_one_domain_says_nothing_of_anothers_provider(people: Believing) -> None:
    """Security class 14."""
    cloud = people.cloud
    domain = await cloud.made("domain")
    boss = await cloud.made("user", password=PASSWORD, domain_id=domain["id"])
    await cloud.call("PUT", f"/domains/{domain['id']}/users/{boss['id']}/roles/{cloud.roles['manager']}")
    token = await cloud.token(boss["id"], scope={"domain": {"id": domain["id"]}})
    links = [{"idp_id": "people", "protocols": [{"protocol_id": "openid", "unique_id": "alice"}]}]
    body = {"user": {"name": "trap", "federated": links}}
    assert (await cloud.call("POST", "/users", body, token=token)).status == 403
    plain = await cloud.call("POST", "/users", {"user": {"name": "plain"}}, token=token)
    path = f"/users/{plain.body['user']['id']}"
    assert (await cloud.call("PATCH", path, {"user": {"federated": links}}, token=token)).status == 403
    assert (await cloud.call("GET", "/users?unique_id=alice")).body["users"] == []


async def test_a_providers_word_is_one_method_among_those_that_a_user_of_ours_must_show(people: Believing) -> None:
    cloud = people.cloud
    rules = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["password", "totp"]]}
    alice = await cloud.made("user", name="alice", password=PASSWORD, options=rules)
    local = {"user": {"id": alice["id"], "type": "local"}}
    await people.rules({"local": [local], "remote": [{"type": "OIDC-sub"}]})
    assert (await people.come(await people.openid.by_password("alice"))).status == 401
    await cloud.call("PATCH", f"/users/{alice['id']}", {"user": {"options": {"multi_factor_auth_enabled": False}}})
    assert (await people.alice()).body["token"]["user"]["id"] == alice["id"]


async def test_the_end_of_a_membership_is_shown(people: Believing) -> None:
    group, _ = await _engineers(people.cloud)
    user_id = (await people.alice()).body["token"]["user"]["id"]
    mine = (await people.cloud.call("GET", f"/users/{user_id}/groups")).body["groups"]
    assert [one["id"] for one in mine] == [group["id"]]
    assert mine[0]["membership_expires_at"].endswith("Z")

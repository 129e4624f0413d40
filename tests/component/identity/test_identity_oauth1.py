"""OAuth 1.0a: consumers, the steps to an access token, its tokens, and what forged, replayed and late requests get."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from identity_cloud import PASSWORD, Cloud
from oauth_client import AUTH, OAUTH, Consumer, form
from oauthlib.oauth1 import SIGNATURE_PLAINTEXT, Client

from skybus import clock
from skybus.cli.keys import rotation_step
from skybus.config import Config, Gateway
from skybus.identity.credentials.credentials_reseal import credential_keys_in_use
from skybus.identity.delegation import oauth1_access_tokens, oauth1_request_tokens
from skybus.store import Store


async def test_a_consumer_lives_from_post_to_delete_and_tells_its_secret_once(cloud: Cloud) -> None:
    made = (await cloud.call("POST", f"{OAUTH}/consumers", {"consumer": {"description": "one"}})).body["consumer"]
    path = f"{OAUTH}/consumers/{made['id']}"
    assert len(made["secret"]) >= 32
    shown = (await cloud.call("GET", path)).body["consumer"]
    assert shown == {key: value for key, value in made.items() if key != "secret"}
    assert shown["links"]["self"].endswith(f"/v3{path}")
    changed = await cloud.call("PATCH", path, {"consumer": {"description": "two"}})
    assert (changed.status, changed.body["consumer"]["description"]) == (200, "two")
    listed = (await cloud.call("GET", f"{OAUTH}/consumers")).body["consumers"]
    assert [(one["id"], one["description"], "secret" in one) for one in listed] == [(made["id"], "two", False)]
    for body in ({}, {"secret": "mine"}, {"id": "another"}):
        assert (await cloud.call("PATCH", path, {"consumer": body})).status == 400
    assert (await cloud.call("DELETE", path)).status == 204
    assert (await cloud.call("GET", path)).status == 404
    assert (await cloud.call("DELETE", path)).status == 404


async def test_consumers_are_the_administrators(cloud: Cloud) -> None:
    consumer = await Consumer.made(cloud)
    _, _, token = await cloud.member("manager")
    path = f"{OAUTH}/consumers"
    for method, where, body in (
        ("GET", path, None),
        ("POST", path, {"consumer": {}}),
        ("GET", f"{path}/{consumer.consumer['id']}", None),
        ("PATCH", f"{path}/{consumer.consumer['id']}", {"consumer": {"description": "x"}}),
        ("DELETE", f"{path}/{consumer.consumer['id']}", None),
    ):
        assert (await cloud.call(method, where, body, token)).status == 403


async def test_an_access_token_opens_the_authorized_roles_on_the_requested_project(cloud: Cloud) -> None:
    consumer = await Consumer.made(cloud)
    access = await consumer.access("member")
    answer = await consumer.login(access)
    token = answer.body["token"]
    assert answer.status == 201, answer
    assert token["methods"] == ["oauth1"]
    assert token["user"]["id"] == consumer.user["id"]
    assert token["project"]["id"] == consumer.project["id"]
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}
    assert token["OS-OAUTH1"] == {
        "access_token_id": access["oauth_token"],
        "consumer_id": consumer.consumer["id"],
    }
    assert token["expires_at"] <= access["oauth_expires_at"]
    assert await cloud.works(answer.headers["X-Subject-Token"])
    assert (await consumer.login(access, scope={"project": {"id": consumer.project["id"]}})).status == 201
    assert (await consumer.login(access, scope={"project": {"id": cloud.project_id}})).status == 403


async def test_a_user_sees_what_it_gave_and_takes_it_back(cloud: Cloud) -> None:
    consumer = await Consumer.made(cloud)
    access = await consumer.access("member")
    token = await consumer.own_token(access)
    path = f"{consumer.own_path}/{access['oauth_token']}"
    shown = (await cloud.call("GET", path, token=consumer.token)).body["access_token"]
    assert shown == {
        "id": access["oauth_token"],
        "consumer_id": consumer.consumer["id"],
        "authorizing_user_id": consumer.user["id"],
        "project_id": consumer.project["id"],
        "expires_at": access["oauth_expires_at"],
        "links": shown["links"],
    }
    assert shown["links"]["roles"] == shown["links"]["self"] + "/roles"
    listed = await cloud.call("GET", consumer.own_path, token=consumer.token)
    assert listed.body["access_tokens"] == [shown]
    roles = await cloud.call("GET", f"{path}/roles", token=consumer.token)
    assert [role["name"] for role in roles.body["roles"]] == ["member"]
    member, admin = (f"{path}/roles/{cloud.roles[name]}" for name in ("member", "admin"))
    assert (await cloud.call("GET", member, token=consumer.token)).body["role"]["name"] == "member"
    assert (await cloud.call("GET", admin, token=consumer.token)).status == 404
    elsewhere = f"/users/{cloud.admin_id}/OS-OAUTH1/access_tokens/{access['oauth_token']}"
    assert (await cloud.call("GET", elsewhere)).status == 404
    assert (await cloud.call("DELETE", elsewhere)).status == 404
    assert (await cloud.call("DELETE", path, token=consumer.token)).status == 204
    assert not await cloud.works(token)
    assert (await consumer.login(access)).status == 401
    assert (await cloud.call("DELETE", path, token=consumer.token)).status == 404


async def test_a_consumers_end_is_the_end_of_all_that_it_has(cloud: Cloud) -> None:
    consumer = await Consumer.made(cloud)
    request = form(await consumer.ask())
    access = await consumer.access()
    token = await consumer.own_token(access)
    assert (await cloud.call("DELETE", f"{OAUTH}/consumers/{consumer.consumer['id']}")).status == 204
    assert not await cloud.works(token)
    assert (await consumer.login(access)).status == 401
    assert (await consumer.ask()).status == 401
    assert (await consumer.authorize(request, "member")).status == 404


async def test_losing_the_role_or_the_user_ends_the_token(cloud: Cloud) -> None:
    for end in ("role", "user"):
        consumer = await Consumer.made(cloud)
        access = await consumer.access("member")
        token = await consumer.own_token(access)
        role = f"/projects/{consumer.project['id']}/users/{consumer.user['id']}/roles/{cloud.roles['admin']}"
        path = role if end == "role" else f"/users/{consumer.user['id']}"
        assert (await cloud.call("DELETE", path)).status == 204
        assert not await cloud.works(token)
        assert (await consumer.login(access)).status == 401


async def test_nobody_authorizes_more_than_it_has_nor_with_borrowed_rights(cloud: Cloud) -> None:
    consumer = await Consumer.made(cloud)
    request = form(await consumer.ask())
    # The cloud's administrator has no role on this project.
    assert (await consumer.authorize(request, "member", token=cloud.admin_token)).status == 401
    assert (await consumer.authorize(request, "no-such-role")).status == 401
    assert (await consumer.authorize(request)).status == 400
    assert (await consumer.authorize({"oauth_token": "0" * 32}, "member")).status == 404
    borrowed = await consumer.own_token(await consumer.access("admin"))
    assert (await consumer.authorize(request, "member", token=borrowed)).status == 403
    assert (await consumer.authorize(request, "member")).status == 200


async def test_what_one_user_answered_no_other_user_answers(cloud: Cloud) -> None:
    consumer = await Consumer.made(cloud)
    request = form(await consumer.ask())
    assert (await consumer.authorize(request, "member")).status == 200
    role = f"/projects/{consumer.project['id']}/users/{cloud.admin_id}/roles/{cloud.roles['member']}"
    assert (await cloud.call("PUT", role)).status == 204
    assert (await consumer.authorize(request, "member", token=cloud.admin_token)).status == 401


async def test_a_token_of_oauth_makes_nothing_that_outlives_it(cloud: Cloud) -> None:
    consumer = await Consumer.made(cloud)
    access = await consumer.access("admin")
    token = await consumer.own_token(access)
    credentials = f"/users/{consumer.user['id']}/application_credentials"
    assert (await cloud.call("POST", credentials, {"application_credential": {"name": "c"}}, token)).status == 403
    assert (await cloud.call("GET", credentials, token=token)).status == 403
    trust = {
        "trustor_user_id": consumer.user["id"],
        "trustee_user_id": cloud.admin_id,
        "project_id": consumer.project["id"],
        "impersonation": True,
        "roles": [{"name": "member"}],
    }
    assert (await cloud.call("POST", "/OS-TRUST/trusts", {"trust": trust}, token)).status == 403
    assert (await cloud.again(token)).status == 403
    assert (await cloud.again(token, {"project": {"id": consumer.project["id"]}})).status == 403
    assert (await cloud.call("GET", consumer.own_path, token=token)).status == 403
    own = f"{consumer.own_path}/{access['oauth_token']}"
    assert (await cloud.call("DELETE", own, token=token)).status == 403


@pytest.mark.parametrize("first", ["oauth1", "password"])
async def test_what_is_shown_beside_an_access_token_widens_nothing(cloud: Cloud, first: str) -> None:
    consumer = await Consumer.made(cloud)
    access = await consumer.access("reader")
    user = {"id": consumer.user["id"], "password": PASSWORD}
    methods = ["oauth1", "password"] if first == "oauth1" else ["password", "oauth1"]
    identity = {"methods": methods, "oauth1": {}, "password": {"user": user}}
    for scope, status in ((None, 201), ({"system": {"all": True}}, 403), ("unscoped", 403)):
        body: dict[str, Any] = {"auth": {"identity": identity}}
        if scope is not None:
            body["auth"]["scope"] = scope
        answer = await consumer.post(AUTH, consumer.headers(AUTH, access), body)
        assert answer.status == status, answer
        if status == 201:
            assert [role["name"] for role in answer.body["token"]["roles"]] == ["reader"]
    # One's own password beside another's access token is nothing.
    stranger, _, _ = await cloud.member()
    identity["password"] = {"user": {"id": stranger["id"], "password": PASSWORD}}
    answer = await consumer.post(AUTH, consumer.headers(AUTH, access), {"auth": {"identity": identity}})
    assert answer.status == 401


async def test_a_signed_request_is_answered_once(cloud: Cloud) -> None:
    consumer = await Consumer.made(cloud)
    access = await consumer.access()
    headers = consumer.headers(AUTH, access)
    answers = await asyncio.gather(*(consumer.login(access, headers) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [201, 401, 401, 401, 401]
    path = f"{OAUTH}/request_token"
    headers = {**consumer.headers(path), "Requested-Project-Id": consumer.project["id"]}
    assert [(await consumer.post(path, headers)).status for _ in range(2)] == [201, 401]


async def test_a_request_token_is_exchanged_once_and_by_its_verifier_alone(cloud: Cloud) -> None:
    consumer = await Consumer.made(cloud)
    request = form(await consumer.ask())
    assert (await consumer.fetch(request, "guessed1")).status == 401
    verifier = (await consumer.authorize(request, "member")).body["token"]["oauth_verifier"]
    assert (await consumer.fetch(request, "guessed1")).status == 401
    assert (await consumer.fetch(request, "")).status == 400
    answers = await asyncio.gather(*(consumer.fetch(request, verifier) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [201, 401, 401, 401]


async def test_one_consumers_tokens_are_nothing_in_anothers_hands(cloud: Cloud) -> None:
    consumer, other = await Consumer.made(cloud), await Consumer.made(cloud)
    request = form(await consumer.ask())
    verifier = (await consumer.authorize(request, "member")).body["token"]["oauth_verifier"]
    assert (await other.fetch(request, verifier)).status == 401
    access = form(await consumer.fetch(request, verifier))
    assert (await other.login(access)).status == 401
    assert (await consumer.login(access)).status == 201


def _changed(header: str, name: str, value: str) -> str:
    """The Authorization header with another value for one parameter."""
    parts = [part.strip() for part in header.removeprefix("OAuth ").split(",")]
    return "OAuth " + ", ".join(f'{name}="{value}"' if part.startswith(f"{name}=") else part for part in parts)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("oauth_signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA%3D"),
        ("oauth_signature", ""),
        ("oauth_nonce", "another"),
        ("oauth_timestamp", "1000000000"),
        ("oauth_timestamp", "9999999999"),
        ("oauth_version", "2.0"),
        ("oauth_signature_method", "RSA-SHA1"),
        ("oauth_token", "0" * 32),
        ("oauth_token", "a'; DROP TABLE identity.consumer; --"),
        ("oauth_consumer_key", "0" * 32),
        ("oauth_consumer_key", "x" * 4000),
    ],
)
async def test_a_request_that_was_changed_after_it_was_signed_is_refused(cloud: Cloud, name: str, value: str) -> None:
    consumer = await Consumer.made(cloud)
    access = await consumer.access()
    header = _changed(consumer.headers(AUTH, access)["Authorization"], name, value)
    assert (await consumer.login(access, {"Authorization": header})).status == 401


@pytest.mark.parametrize(
    "header", ["", "OAuth", "OAuth realm", "Basic YTpi", 'OAuth oauth_nonce="1"', "OAuth " + "," * 5000]
)
async def test_a_request_that_is_not_signed_is_a_bad_one(cloud: Cloud, header: str) -> None:
    consumer = await Consumer.made(cloud)
    headers = {"Authorization": header, "Requested-Project-Id": consumer.project["id"]}
    for path in (f"{OAUTH}/request_token", f"{OAUTH}/access_token"):
        assert (await consumer.post(path, headers)).status == 400
    assert (await consumer.login({}, headers)).status == 400


async def test_a_secret_sent_in_the_clear_is_no_signature(cloud: Cloud) -> None:
    consumer = await Consumer.made(cloud)
    secret, consumer_id = consumer.consumer["secret"], consumer.consumer["id"]
    client = Client(consumer_id, client_secret=secret, signature_method=SIGNATURE_PLAINTEXT)
    path = f"{OAUTH}/request_token"
    _, headers, _ = client.sign(f"{cloud.client.url}/identity/v3{path}", http_method="POST")
    answer = await consumer.post(path, {**headers, "Requested-Project-Id": consumer.project["id"]})
    assert answer.status == 401


async def test_a_consumer_asks_for_a_project_that_is_there(cloud: Cloud) -> None:
    consumer = await Consumer.made(cloud)
    for project_id in ("default", "nothing"):
        assert (await consumer.ask(project_id)).status == 404
    path = f"{OAUTH}/request_token"
    assert (await consumer.post(path, consumer.headers(path))).status == 400


async def test_request_and_access_tokens_end(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = await Consumer.made(cloud)
    request = form(await consumer.ask())
    monkeypatch.setattr(oauth1_request_tokens, "LIFETIME", timedelta(0))
    monkeypatch.setattr(oauth1_access_tokens, "LIFETIME", timedelta(0))
    late = form(await consumer.ask())
    assert (await consumer.authorize(late, "member")).status == 401
    verifier = (await consumer.authorize(request, "member")).body["token"]["oauth_verifier"]
    access = form(await consumer.fetch(request, verifier))
    assert access["oauth_expires_at"] <= clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert (await consumer.login(access)).status == 401


async def test_tokens_are_made_in_bounded_numbers(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = await Consumer.made(cloud)
    monkeypatch.setattr(oauth1_request_tokens, "MOST", 2)
    assert [(await consumer.ask()).status for _ in range(3)] == [201, 201, 403]


async def test_secrets_are_neither_in_rows_nor_in_events(cloud: Cloud) -> None:
    consumer = await Consumer.made(cloud)
    request, waiting = form(await consumer.ask()), form(await consumer.ask())
    verifier = (await consumer.authorize(request, "member")).body["token"]["oauth_verifier"]
    access = form(await consumer.fetch(request, verifier))
    secrets = [consumer.consumer["secret"], *(one["oauth_token_secret"] for one in (request, waiting, access))]
    store = cloud.identity.store
    for table in ("consumer", "request_token", "access_token"):
        row = await store.fetchrow(f"SELECT t::text AS text, encode(t.sealed, 'escape') AS raw FROM identity.{table} t")
        assert row is not None
        assert not any(secret in row["text"] or secret in row["raw"] for secret in secrets)
    told = await store.fetch("SELECT o::text AS text FROM bus.outbox o")
    assert told
    assert not any(secret in row["text"] for secret in (*secrets, verifier) for row in told)


async def test_secrets_move_to_the_new_key_as_credentials_do(cloud: Cloud, store: Store, tmp_path: Path) -> None:
    consumer = await Consumer.made(cloud)
    access, waiting = await consumer.access(), form(await consumer.ask())
    gateway = Gateway(token_key_dir=tmp_path / "keys", credential_key_dir=tmp_path / "credential-keys")
    steps = ("stage", "promote", "reseal", "reseal")
    done = [await rotation_step(store, Config(gateway=gateway), "credentials", step) for step in steps]
    assert done[2:] == [{"resealed": 3, "failed": 0}, {"resealed": 0, "failed": 0}]
    assert await credential_keys_in_use(store) == {2}
    assert (await consumer.login(access)).status == 201
    verifier = (await consumer.authorize(waiting, "member")).body["token"]["oauth_verifier"]
    assert (await consumer.fetch(waiting, verifier)).status == 201

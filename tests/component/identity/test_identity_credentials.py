"""Credentials: who may see, make and change them; that they are encrypted; that a delegation reaches only its own."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from identity_cloud import PASSWORD, Cloud
from login_settings import at

from skybus import clock
from skybus.errors import Unavailable
from skybus.identity.auth.keys import key_create, key_promote, key_stage, keys_ensure
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.identity.credentials.credentials import (
    Credential,
    credentials_of_user,
)
from skybus.identity.login.totp import STEP_SECONDS, passcode, step_at
from skybus.ids import new_hex_id
from skybus.store import Store
from support.front import Answer

CANARY = "canary-4e1b"


def ec2(**more: Any) -> str:
    """The blob of an EC2 credential with keys of its own."""
    return json.dumps({"access": new_hex_id(), "secret": f"{CANARY}-{new_hex_id()}", **more})


async def post(cloud: Cloud, token: str | None = None, **asked: Any) -> Answer:
    """`POST /credentials`."""
    return await cloud.call("POST", "/credentials", {"credential": asked}, token=token)


async def made_ec2(cloud: Cloud, user: Any, project: Any, token: str | None = None, **more: Any) -> Any:
    """An EC2 credential of the user."""
    answer = await post(cloud, token, user_id=user["id"], project_id=project["id"], type="ec2", blob=ec2(**more))
    assert answer.status == 201, answer
    return answer.body["credential"]


async def app_cred(cloud: Cloud, user: Any, token: str, *, unrestricted: bool, roles: Any = None) -> tuple[str, str]:
    """(id of a new application credential, token by it)."""
    asked: dict[str, Any] = {"name": new_hex_id(), "unrestricted": unrestricted}
    if roles is not None:
        asked["roles"] = roles
    path = f"/users/{user['id']}/application_credentials"
    answer = await cloud.call("POST", path, {"application_credential": asked}, token=token)
    assert answer.status == 201, answer
    made = answer.body["application_credential"]
    shown = {"id": made["id"], "secret": made["secret"]}
    answer = await cloud.auth({"methods": ["application_credential"], "application_credential": shown})
    assert answer.status == 201, answer
    return made["id"], answer.headers["X-Subject-Token"]


async def test_a_credential_is_made_shown_listed_changed_and_deleted(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    blob = ec2()
    answer = await post(cloud, token, user_id=user["id"], project_id=project["id"], type="ec2", blob=blob, note="mine")
    assert answer.status == 201, answer
    made = answer.body["credential"]
    assert made["id"] == hashlib.sha256(json.loads(blob)["access"].encode()).hexdigest()
    assert made["blob"] == blob
    assert (made["user_id"], made["project_id"], made["type"], made["note"]) == (
        user["id"],
        project["id"],
        "ec2",
        "mine",
    )
    path = f"/credentials/{made['id']}"
    assert made["links"]["self"].endswith("/v3" + path)
    assert (await cloud.call("GET", path, token=token)).body["credential"] == made
    listed = (await cloud.call("GET", "/credentials", token=token)).body
    assert listed["credentials"] == [made]
    assert listed["links"]["next"] is None
    new = ec2()
    answer = await cloud.call("PATCH", path, {"credential": {"blob": new, "note": "ours"}}, token=token)
    assert answer.status == 200, answer
    assert answer.body["credential"] == {**made, "blob": new, "note": "ours"}
    assert (await cloud.call("GET", path, token=token)).body["credential"] == {**made, "blob": new, "note": "ours"}
    assert (await cloud.call("DELETE", path, token=token)).status == 204
    assert (await cloud.call("GET", path)).status == 404
    assert (await cloud.call("GET", "/credentials", token=token)).body["credentials"] == []


@pytest.mark.parametrize("kind", ["totp", "cert", "whatever I like"])
async def test_other_types_have_an_id_of_our_own_and_any_blob(cloud: Cloud, kind: str) -> None:
    user, _, token = await cloud.member()
    made = (await post(cloud, token, user_id=user["id"], type=kind, blob="{not JSON")).body["credential"]
    assert len(made["id"]) == 32
    assert made["project_id"] is None
    assert made["blob"] == "{not JSON"


async def test_lists_are_filtered_by_user_and_type(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    other, _, others = await cloud.member()
    key = await made_ec2(cloud, user, project, token)
    seed = (await post(cloud, token, user_id=user["id"], type="totp", blob="GEZDGNBV")).body["credential"]
    theirs = (await post(cloud, others, user_id=other["id"], type="totp", blob="GEZDGNBV")).body["credential"]

    async def ids(query: str, token: str | None = None) -> set[str]:
        answer = await cloud.call("GET", "/credentials" + query, token=token)
        assert answer.status == 200, answer
        return {one["id"] for one in answer.body["credentials"]}

    assert await ids("") == {key["id"], seed["id"], theirs["id"]}
    assert await ids("?type=totp") == {seed["id"], theirs["id"]}
    assert await ids(f"?user_id={user['id']}") == {key["id"], seed["id"]}
    assert await ids(f"?user_id={user['id']}&type=ec2") == {key["id"]}
    assert await ids("", token) == {key["id"], seed["id"]}
    assert await ids(f"?user_id={other['id']}", token) == set(), "a filter shows nothing that is somebody else's"


async def test_nobody_but_the_owner_and_the_administrator_reaches_a_credential(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    other, _, stranger = await cloud.member()
    made = await made_ec2(cloud, user, project, token)
    path = f"/credentials/{made['id']}"
    for call in (
        cloud.call("GET", path, token=stranger),
        cloud.call("PATCH", path, {"credential": {"blob": ec2()}}, token=stranger),
        cloud.call("DELETE", path, token=stranger),
        cloud.call("GET", "/credentials/nothing", token=stranger),
        post(cloud, stranger, user_id=user["id"], project_id=project["id"], type="ec2", blob=ec2()),
        cloud.call("PATCH", path, {"credential": {"user_id": other["id"]}}, token=token),
    ):
        answer = await call
        assert answer.status == 403, answer
        assert CANARY.encode() not in answer.data
    assert (await cloud.call("GET", path)).body["credential"] == made


async def test_the_administrator_may_give_a_credential_to_somebody_else(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    other, _, theirs = await cloud.member()
    made = await made_ec2(cloud, user, project, token)
    path = f"/credentials/{made['id']}"
    assert (await cloud.call("PATCH", path, {"credential": {"user_id": other["id"]}})).status == 200
    assert (await cloud.call("GET", path, token=token)).status == 403
    assert (await cloud.call("GET", path, token=theirs)).status == 200
    assert (await cloud.call("PATCH", path, {"credential": {"user_id": "nobody"}})).status == 404


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"type": "ec2", "blob": "no JSON"}, 400),
        ({"type": "ec2", "blob": "[]"}, 400),
        ({"type": "ec2", "blob": "{}"}, 400),
        ({"type": "EC2", "blob": '{"access": null}'}, 400),
        ({"type": "ec2", "blob": '{"access": 3, "secret": "s"}'}, 400),
        ({"type": "ec2", "blob": '{"access": "a", "secret": ["s"]}'}, 400),
        ({"type": "ec2", "blob": '{"access": "a"}', "project_id": None}, 400),
        ({"type": "ec2", "blob": "[" * 8000}, 400),
        ({"type": "ec2", "blob": '{"access": "a"}', "project_id": "nowhere"}, 404),
        ({"type": "totp", "blob": "x" * 16385}, 400),
        ({"type": "totp", "blob": {"access": "a"}}, 400),
        ({"type": "totp"}, 400),
        ({"blob": "x"}, 400),
        ({"type": "totp", "blob": "x", "more": "y" * 5000}, 400),
    ],
)
async def test_what_cannot_be_meant_is_refused(cloud: Cloud, asked: dict[str, Any], status: int) -> None:
    user, project, token = await cloud.member()
    answer = await post(cloud, token, **{"user_id": user["id"], "project_id": project["id"], **asked})
    assert answer.status == status, answer


async def test_an_access_key_is_used_once(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    first, second = await made_ec2(cloud, user, project, token), await made_ec2(cloud, user, project, token)
    answer = await post(
        cloud, token, user_id=user["id"], project_id=project["id"], type="ec2", blob=first["blob"]
    )  # fmt: skip
    assert answer.status == 409, answer
    answer = await cloud.call(
        "PATCH", f"/credentials/{second['id']}", {"credential": {"blob": first["blob"]}}, token=token
    )  # fmt: skip
    assert answer.status == 409, answer
    assert CANARY.encode() not in answer.data


async def test_a_user_has_a_bounded_number_of_credentials(cloud: Cloud, store: Store) -> None:
    """Security class 16."""
    user, _, token = await cloud.member()
    made = (await post(cloud, token, user_id=user["id"], type="totp", blob="x")).body["credential"]
    await store.fetch(
        "INSERT INTO identity.credential (id, user_id, type, sealed, key_number, created_at)"
        " SELECT 'c' || n, $1, 'totp', '', 1, now() FROM generate_series(1, 199) n",
        user["id"],
    )
    assert (await post(cloud, token, user_id=user["id"], type="totp", blob="x")).status == 403
    assert (await cloud.call("DELETE", f"/credentials/{made['id']}", token=token)).status == 204
    assert (await post(cloud, token, user_id=user["id"], type="totp", blob="x")).status == 201


async def test_a_long_list_comes_in_pages(cloud: Cloud) -> None:
    user, _, token = await cloud.member()
    made = [(await post(cloud, token, user_id=user["id"], type="totp", blob="x")).body["credential"] for _ in range(3)]
    first = (await cloud.call("GET", "/credentials?type=totp&limit=2", token=token)).body
    assert first["credentials"] == made[:2]
    assert first["truncated"] is True
    path = first["links"]["next"].partition("/v3")[2]
    second = (await cloud.call("GET", path, token=token)).body
    assert second["credentials"] == made[2:]
    assert second["links"]["next"] is None


async def test_what_belongs_to_a_user_or_a_project_goes_with_it(cloud: Cloud, store: Store) -> None:
    user, project, token = await cloud.member()
    await made_ec2(cloud, user, project, token)
    await post(cloud, token, user_id=user["id"], type="totp", blob="x")
    assert (await cloud.call("DELETE", f"/projects/{project['id']}")).status == 204
    assert await store.fetchval("SELECT array_agg(type) FROM identity.credential") == ["totp"]
    assert (await cloud.call("DELETE", f"/users/{user['id']}")).status == 204
    assert await store.fetchval("SELECT count(*) FROM identity.credential") == 0


# --- what a delegation reaches (security class 8: OSSA-2020-003, -004, 2026-005)


async def test_a_restricted_application_credential_makes_no_keys(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    _, restricted = await app_cred(cloud, user, token, unrestricted=False)
    answer = await post(cloud, restricted, user_id=user["id"], project_id=project["id"], type="ec2", blob=ec2())
    assert answer.status == 403, answer
    cert = await post(cloud, restricted, user_id=user["id"], project_id=project["id"], type="cert", blob=ec2())
    assert cert.status == 201, cert
    path = f"/credentials/{cert.body['credential']['id']}"
    answer = await cloud.call("PATCH", path, {"credential": {"type": "ec2"}}, token=restricted)
    assert answer.status in (400, 403), answer


async def test_a_key_made_by_a_delegation_says_so_and_cannot_forget_it(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    app_cred_id, by = await app_cred(cloud, user, token, unrestricted=True)
    made = await made_ec2(cloud, user, project, by)
    said = json.loads(made["blob"])
    assert said["app_cred_id"] == app_cred_id
    path = f"/credentials/{made['id']}"
    for blob in (
        {**said, "app_cred_id": None},
        {**said, "app_cred_id": "another"},
        {**said, "trust_id": "t"},
        {**said, "access_token_id": "t"},
        {name: value for name, value in said.items() if name != "app_cred_id"},
    ):
        for who in (token, by, None):
            answer = await cloud.call("PATCH", path, {"credential": {"blob": json.dumps(blob)}}, token=who)
            assert answer.status == 400, answer
    for asked in ({"project_id": cloud.project_id}, {"user_id": cloud.admin_id}):
        assert (await cloud.call("PATCH", path, {"credential": asked})).status == 400
    new = json.dumps({**said, "secret": "another"})
    assert (await cloud.call("PATCH", path, {"credential": {"blob": new}}, token=by)).status == 200


@pytest.mark.parametrize("name", ["trust_id", "app_cred_id", "access_token_id"])
async def test_nobody_claims_a_delegation(cloud: Cloud, name: str) -> None:
    user, project, token = await cloud.member()
    _, by = await app_cred(cloud, user, token, unrestricted=True)
    for who in (token, by, None):
        asked = {"user_id": user["id"], "project_id": project["id"], "type": "ec2", "blob": ec2(**{name: "x"})}
        assert (await post(cloud, who, **asked)).status in (400, 403)
    await made_ec2(cloud, user, project, token, **{name: None})


async def test_a_delegation_reaches_only_what_it_made(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    mine = await made_ec2(cloud, user, project, token)
    seed = (await post(cloud, token, user_id=user["id"], type="totp", blob=CANARY)).body["credential"]
    _, by = await app_cred(cloud, user, token, unrestricted=True)
    _, beside = await app_cred(cloud, user, token, unrestricted=True)
    own = await made_ec2(cloud, user, project, by)
    assert (await cloud.call("GET", "/credentials", token=by)).body["credentials"] == [own]
    assert (await cloud.call("GET", f"/credentials/{own['id']}", token=by)).status == 200
    assert (await cloud.call("GET", f"/credentials/{own['id']}", token=token)).status == 200
    for who, others in ((by, (mine, seed)), (beside, (mine, seed, own))):
        for one in others:
            path = f"/credentials/{one['id']}"
            for call in (
                cloud.call("GET", path, token=who),
                cloud.call("PATCH", path, {"credential": {"blob": one["blob"]}}, token=who),
                cloud.call("DELETE", path, token=who),
            ):
                answer = await call
                assert answer.status == 403, answer
                assert CANARY.encode() not in answer.data


async def test_a_delegation_makes_credentials_for_its_own_user_and_project_alone(cloud: Cloud) -> None:
    user, project, token = await cloud.member("admin")
    other, elsewhere, _ = await cloud.member()
    _, by = await app_cred(cloud, user, token, unrestricted=True)
    for asked in (
        {"user_id": user["id"], "project_id": elsewhere["id"]},
        {"user_id": other["id"], "project_id": project["id"]},
        {"user_id": user["id"]},
    ):
        assert (await post(cloud, by, type="cert", blob="x", **asked)).status == 403
    assert (await post(cloud, by, type="cert", blob="x", user_id=user["id"], project_id=project["id"])).status == 201


@pytest.mark.parametrize("unrestricted", [True, False])
async def test_a_delegation_makes_nothing_to_log_in_with_as_its_user(cloud: Cloud, unrestricted: bool) -> None:
    user, project, token = await cloud.member("admin")
    _, by = await app_cred(cloud, user, token, unrestricted=unrestricted, roles=[{"name": "reader"}])
    blob = base64.b32encode(b"a secret of twenty b").decode()
    whose = {"user_id": user["id"], "project_id": project["id"]}
    for spelt in ("totp", "TOTP"):
        assert (await post(cloud, by, type=spelt, blob=blob, **whose)).status == 403
    made = (await post(cloud, by, type="cert", blob=blob, **whose)).body["credential"]
    change = {"credential": {"type": "totp"}}
    assert (await cloud.call("PATCH", f"/credentials/{made['id']}", change, token=by)).status == 403
    # Not even where its user was made to call it that.
    assert (await cloud.call("PATCH", f"/credentials/{made['id']}", change, token=token)).status == 200
    moment = (step_at(clock.now().timestamp()) + 0.5) * STEP_SECONDS
    with at(moment):
        code = passcode(b"a secret of twenty b", step_at(moment))
        shown = {"methods": ["totp"], "totp": {"user": {"id": user["id"], "passcode": code}}}
        assert (await cloud.auth(shown)).status == 401
        own = await post(cloud, token, type="totp", blob=blob, user_id=user["id"])
        assert own.status == 201
        assert (await cloud.auth(shown)).status == 201


async def test_who_may_only_look_is_shown_no_secret(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    made = await made_ec2(cloud, user, project, token)
    auditor = await cloud.made("user", password=PASSWORD)
    await cloud.call("PUT", f"/system/users/{auditor['id']}/roles/{cloud.roles['reader']}")
    looker = await cloud.token(auditor["id"], scope={"system": {"all": True}})
    access = json.loads(made["blob"])["access"]
    for path in (
        f"/credentials/{made['id']}",
        "/credentials?type=ec2",
        f"/users/{user['id']}/credentials/OS-EC2/{access}",
    ):
        answer = await cloud.call("GET", path, token=looker)
        assert answer.status == 200, answer
        assert CANARY.encode() not in answer.data
        assert CANARY.encode() in (await cloud.call("GET", path)).data


# --- at rest


async def test_what_is_stored_tells_nothing_and_cannot_be_moved_to_another_row(cloud: Cloud, store: Store) -> None:
    user, project, token = await cloud.member()
    one, two = await made_ec2(cloud, user, project, token), await made_ec2(cloud, user, project, token)
    rows = await store.fetch("SELECT c::text AS text, c.sealed FROM identity.credential c")
    assert len(rows) == 2
    assert not any(CANARY in row["text"] or CANARY.encode() in row["sealed"] for row in rows)
    await store.fetch(
        "UPDATE identity.credential c SET sealed = o.sealed FROM identity.credential o WHERE c.id = $1 AND o.id = $2",
        one["id"], two["id"],
    )  # fmt: skip
    answer = await cloud.call("GET", f"/credentials/{one['id']}", token=token)
    assert answer.status == 503, answer
    assert CANARY.encode() not in answer.data


async def test_credentials_of_a_user_come_decrypted_and_print_no_secret(cloud: Cloud, store: Store) -> None:
    user, _, token = await cloud.member()
    for blob in (CANARY + "1", CANARY + "2"):
        await post(cloud, token, user_id=user["id"], type="totp", blob=blob)
    found = await credentials_of_user(store, user["id"], "totp", cloud.identity.login.credential_keys)
    assert [one.blob for one in found] == [CANARY + "1", CANARY + "2"]
    assert CANARY not in repr(found)
    assert await credentials_of_user(store, user["id"], "ec2", cloud.identity.login.credential_keys) == []


def test_keys_rotate_and_a_staged_key_seals_nothing(tmp_path: Path) -> None:
    keys_ensure(tmp_path)
    here, there = CredentialKeys(tmp_path), CredentialKeys(tmp_path)
    number, first = here.seal("id", CANARY)
    assert number == 1
    key_stage(tmp_path)
    assert here.seal("id", CANARY)[0] == 1
    assert there.open("id", 1, first) == CANARY
    key_promote(tmp_path)
    number, second = here.seal("id", CANARY)
    assert number == 2
    assert there.open("id", 2, second) == CANARY
    (tmp_path / "000001.key").unlink()
    late = CredentialKeys(tmp_path)
    assert late.open("id", 2, second) == CANARY
    for wrong in (("id", 1, first), ("ID", 2, second), ("id", 2, second[:-1]), ("id", 2, b""), ("id", 3, second)):
        with pytest.raises(Unavailable):
            late.open(*wrong)
    assert key_create(tmp_path).stem == "000003"


def test_a_process_without_keys_says_so() -> None:
    with pytest.raises(Unavailable, match="no keys"):
        CredentialKeys().seal("id", "x")
    CredentialKeys().refresh()


# --- security class 18


async def test_no_event_no_log_and_no_refusal_carries_a_secret(
    cloud: Cloud, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    user, project, token = await cloud.member()
    made = await made_ec2(cloud, user, project, token)
    path = f"/credentials/{made['id']}"
    asked = {"user_id": user["id"], "project_id": project["id"], "type": "ec2"}
    for call in (
        cloud.call("PATCH", path, {"credential": {"blob": ec2()}}, token=token),
        post(cloud, token, **asked, blob={"access": "a", "secret": CANARY}),
        post(cloud, token, **asked, blob=f'{{"access": "a", "secret": "{CANARY}"'),
        post(cloud, token, blob=CANARY),
        cloud.call("POST", "/credentials", {"credential": CANARY}, token=token),
        cloud.call("DELETE", path, token=token),
    ):
        answer = await call
        assert answer.status < 300 or CANARY.encode() not in answer.data, answer
    rows = await store.fetch("SELECT type, body FROM bus.outbox")
    kinds = {row["type"].rpartition(".credential.")[2] for row in rows if ".credential." in row["type"]}
    assert kinds == {"created.v1", "updated.v1", "deleted.v1"}
    assert not [row["type"] for row in rows if CANARY in row["body"]]
    logged = capsys.readouterr()
    assert "credential" in logged.out + logged.err
    assert CANARY not in logged.out + logged.err
    shown = Credential(id="i", user_id="u", project_id=None, type="ec2", blob=CANARY)
    assert CANARY not in f"{shown!r} {shown}"

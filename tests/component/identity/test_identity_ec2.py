"""EC2 keys and the tokens of signed requests: who may ask, what a signature proves, and that it never gives more than
what made its keys (security classes 7, 8, 18)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import quote

import pytest
from identity_cloud import PASSWORD, Cloud
from oauth_client import Consumer

from skybus import clock
from skybus.errors import NotFound, Unauthorized
from skybus.identity import Identity
from skybus.identity.credentials.ec2_login import s3_caller
from skybus.identity.credentials.ec2_memory import SignerMemory
from skybus.ids import new_hex_id
from skybus.store import Store
from support.front import Answer

CANARY = "canary-9d2c"


@pytest.fixture
def time_passes() -> Iterator[Callable[[timedelta], None]]:
    """Moves the clock on."""
    began = datetime.now(UTC)
    yield lambda by: clock.use(lambda: began + by)
    clock.use(None)


async def keys_of(cloud: Cloud, user: Any, project: Any, token: str | None = None) -> Any:
    """New EC2 keys."""
    path = f"/users/{user['id']}/credentials/OS-EC2"
    answer = await cloud.call("POST", path, {"tenant_id": project["id"]}, token=token)
    assert answer.status == 201, answer
    return answer.body["credential"]


async def service_token(cloud: Cloud) -> str:
    """A token of a service."""
    _, _, token = await cloud.member("service")
    return token


def mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def signed_2(keys: Any, at: datetime | None = None, **params: str) -> dict[str, Any]:
    """A request as boto 2 signs it."""
    moment = at or datetime.now(UTC)
    said = {
        "Action": "DescribeInstances",
        "AWSAccessKeyId": keys["access"],
        "SignatureMethod": "HmacSHA256",
        "SignatureVersion": "2",
        "Timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        **params,
    }
    query = "&".join(f"{quote(name, safe='')}={quote(said[name], safe='')}" for name in sorted(said))
    signature = base64.b64encode(
        mac(keys["secret"].encode(), f"POST\nec2.test:8773\n/services/Cloud\n{query}")
    ).decode()
    return {
        "access": keys["access"],
        "signature": signature,
        "verb": "POST",
        "host": "ec2.test:8773",
        "path": "/services/Cloud",
        "params": said,
    }


def derived(secret: str, scope: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = mac(key, part)
    return key


def signed_4(keys: Any, at: datetime | None = None, body: bytes = b"Action=DescribeInstances") -> dict[str, Any]:
    """A request as Amazon's newer clients sign it."""
    moment = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/RegionOne/ec2/aws4_request"
    body_hash = hashlib.sha256(body).hexdigest()
    canonical = f"POST\n/\n\nhost:ec2.test\nx-amz-date:{moment}\n\nhost;x-amz-date\n{body_hash}"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = mac(derived(keys["secret"], scope), text).hex()
    said = f"Credential={keys['access']}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}"
    return {
        "access": keys["access"],
        "signature": signature,
        "verb": "POST",
        "host": "ec2.test",
        "path": "/",
        "params": {"Action": "DescribeInstances"},
        "headers": {"Host": "ec2.test", "X-Amz-Date": moment, "Authorization": f"AWS4-HMAC-SHA256 {said}"},
        "body_hash": body_hash,
    }


def s3_text(at: datetime | None = None) -> tuple[str, str]:
    """(string to sign of version 4, its scope)."""
    moment = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/RegionOne/s3/aws4_request"
    return f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(b'a request').hexdigest()}", scope


def s3_signed_4(keys: Any, at: datetime | None = None) -> dict[str, Any]:
    """An S3 request, version 4."""
    text, scope = s3_text(at)
    signature = mac(derived(keys["secret"], scope), text).hex()
    return {"access": keys["access"], "signature": signature, "token": base64.urlsafe_b64encode(text.encode()).decode()}


def s3_signed_1(keys: Any, at: datetime | None = None) -> dict[str, Any]:
    """An S3 request, version 1."""
    moment = (at or datetime.now(UTC)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    text = f"PUT\n\ntext/plain\n\nx-amz-date:{moment}\n/bucket/key?~".encode()
    signature = base64.b64encode(hmac.digest(keys["secret"].encode(), text, "sha1")).decode()
    return {"access": keys["access"], "signature": signature, "token": base64.b64encode(text).decode()}


Signer = Callable[..., dict[str, Any]]
WAYS: list[tuple[str, Signer]] = [
    ("/ec2tokens", signed_2),
    ("/ec2tokens", signed_4),
    ("/s3tokens", s3_signed_1),
    ("/s3tokens", s3_signed_4),
]
ways = pytest.mark.parametrize(("path", "sign"), WAYS, ids=lambda value: getattr(value, "__name__", ""))


async def shown(cloud: Cloud, path: str, said: Any, token: str | None = None, name: str = "credentials") -> Answer:
    """Ask who signed."""
    return await cloud.call("POST", path, {name: said}, token=token or await service_token(cloud))


# --- /users/{id}/credentials/OS-EC2


async def test_keys_are_made_listed_shown_and_deleted(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    keys = await keys_of(cloud, user, project, token)
    assert (keys["user_id"], keys["tenant_id"], keys["trust_id"]) == (user["id"], project["id"], None)
    path = f"/users/{user['id']}/credentials/OS-EC2"
    assert keys["links"]["self"].endswith(f"/v3{path}/{keys['access']}")
    second = await keys_of(cloud, user, project, token)
    assert second["secret"] != keys["secret"]
    listed = await cloud.call("GET", path, token=token)
    assert listed.body["credentials"] == [keys, second]
    assert (await cloud.call("GET", f"{path}/{keys['access']}", token=token)).body["credential"] == keys
    known = await cloud.call("GET", f"/credentials/{hashlib.sha256(keys['access'].encode()).hexdigest()}", token=token)
    assert json.loads(known.body["credential"]["blob"])["secret"] == keys["secret"]
    assert (await cloud.call("DELETE", f"{path}/{keys['access']}", token=token)).status == 204
    assert (await cloud.call("GET", f"{path}/{keys['access']}", token=token)).status == 404
    assert (await cloud.call("DELETE", f"{path}/{keys['access']}", token=token)).status == 404
    assert (await cloud.call("GET", path, token=token)).body["credentials"] == [second]


async def test_keys_are_their_owners_alone(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    other, _, stranger = await cloud.member()
    _, _, reader = await cloud.member("reader")
    keys = await keys_of(cloud, user, project, token)
    for owner, who, status in ((user, stranger, 403), (other, stranger, 404), (user, reader, 403), (other, None, 404)):
        path = f"/users/{owner['id']}/credentials/OS-EC2/{keys['access']}"
        for method in ("GET", "DELETE"):
            answer = await cloud.call(method, path, token=who)
            assert answer.status == status, (answer, owner, who)
            assert keys["secret"].encode() not in answer.data
    path = f"/users/{user['id']}/credentials/OS-EC2"
    assert (await cloud.call("GET", path, token=stranger)).status == 403
    assert (await cloud.call("POST", path, {"tenant_id": project["id"]}, token=stranger)).status == 403
    assert (await cloud.call("GET", path)).body["credentials"] == [keys]
    assert (await cloud.call("POST", path, {"tenant_id": "nowhere"}, token=token)).status == 404
    assert (await cloud.call("POST", path, {"tenant_id": "default"}, token=token)).status == 404
    assert (await cloud.call("POST", path, {"tenant_id": 3}, token=token)).status == 400
    assert (await cloud.call("POST", "/users/nobody/credentials/OS-EC2", {"tenant_id": project["id"]})).status == 404


async def test_a_reader_makes_no_keys(cloud: Cloud) -> None:
    user, project, token = await cloud.member("reader")
    path = f"/users/{user['id']}/credentials/OS-EC2"
    assert (await cloud.call("POST", path, {"tenant_id": project["id"]}, token=token)).status == 403


# --- who signed


@ways
async def test_a_signature_is_worth_a_token_of_its_owner(cloud: Cloud, path: str, sign: Signer) -> None:
    user, project, token = await cloud.member()
    keys = await keys_of(cloud, user, project, token)
    for name in ("credentials", "credential", "ec2Credentials"):
        answer = await shown(cloud, path, sign(keys), name=name)
        assert answer.status == 200, answer
        said = answer.body["token"]
        assert said["user"]["id"] == user["id"]
        assert said["project"]["id"] == project["id"]
        assert said["methods"] == ["ec2credential"]
        assert {role["name"] for role in said["roles"]} == {"member", "reader"}
        assert said["catalog"]
        assert ("X-Subject-Token" in answer.headers) == (path == "/ec2tokens")


@ways
async def test_services_and_administrators_alone_may_ask(cloud: Cloud, path: str, sign: Signer) -> None:
    """OSSA-2025-002."""
    user, project, token = await cloud.member("manager")
    keys = await keys_of(cloud, user, project, token)
    assert (await shown(cloud, path, sign(keys), token)).status == 403
    answer = await cloud.client.call("POST", "/identity/v3" + path, {"credentials": sign(keys)}, token=None)
    assert answer.status == 401
    assert (await shown(cloud, path, sign(keys), cloud.admin_token)).status == 200
    assert (await cloud.call("GET", path)).status == 405


@ways
async def test_a_forged_signature_is_refused(cloud: Cloud, path: str, sign: Signer) -> None:
    user, project, token = await cloud.member()
    keys, service = await keys_of(cloud, user, project, token), await service_token(cloud)
    good = sign(keys)
    for bad, status in (
        (sign({**keys, "secret": "a guess"}), 401),
        ({**good, "signature": good["signature"][:-4] + "AAA="}, 401),
        ({**good, "signature": ""}, 401),
        ({**good, "access": ""}, 401),
        ({key: value for key, value in good.items() if key != "signature"}, 401),
        ({key: value for key, value in good.items() if key != "access"}, 401),
        ({**good, "access": new_hex_id()}, 404),
        ({**good, "signature": 3}, 400),
        ({}, 401),
    ):
        answer = await shown(cloud, path, bad, service)
        assert answer.status == status, (bad, answer)
        assert keys["secret"].encode() not in answer.data
    for body in ({}, {"credentials": good, "ec2Credentials": good}, {"auth": good}, [], {"credentials": []}):
        assert (await cloud.call("POST", path, body, token=service)).status == 400
    assert (await shown(cloud, path, good, service)).status == 200


@ways
async def test_a_signature_is_of_no_use_after_a_quarter_of_an_hour(
    cloud: Cloud, path: str, sign: Signer, time_passes: Callable[[timedelta], None]
) -> None:
    user, project, token = await cloud.member()
    keys, service = await keys_of(cloud, user, project, token), await service_token(cloud)
    caught = sign(keys)
    assert (await shown(cloud, path, sign(keys, datetime.now(UTC) - timedelta(minutes=16)), service)).status == 401
    assert (await shown(cloud, path, sign(keys, datetime.now(UTC) + timedelta(minutes=16)), service)).status == 401
    time_passes(timedelta(minutes=14))
    assert (await shown(cloud, path, caught, service)).status == 200
    time_passes(timedelta(minutes=16))
    assert (await shown(cloud, path, caught, service)).status == 401


async def test_a_replayed_request_is_not_made_new_by_what_is_not_signed(
    cloud: Cloud, time_passes: Callable[[timedelta], None]
) -> None:
    user, project, token = await cloud.member()
    keys, service = await keys_of(cloud, user, project, token), await service_token(cloud)
    caught = signed_4(keys)
    time_passes(timedelta(minutes=20))
    later = datetime.now(UTC) + timedelta(minutes=20)
    for more in ({"Timestamp": later.isoformat()}, {"X-Amz-Date": later.strftime("%Y%m%dT%H%M%SZ")}):
        answer = await shown(cloud, "/ec2tokens", {**caught, "params": {**caught["params"], **more}}, service)
        assert answer.status == 401, answer


async def test_the_body_that_is_passed_on_must_be_the_one_that_was_signed(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    keys = await keys_of(cloud, user, project, token)
    said = signed_4(keys, body=b"Action=DescribeInstances")
    other = hashlib.sha256(b"Action=TerminateInstances").hexdigest()
    assert (await shown(cloud, "/ec2tokens", {**said, "body_hash": other})).status == 401
    assert (await shown(cloud, "/ec2tokens", said)).status == 200


async def test_what_is_no_ec2_credential_signs_nothing(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    keys = {"access": new_hex_id(), "secret": "s"}
    asked = {"user_id": user["id"], "project_id": project["id"], "type": "cert", "blob": json.dumps(keys)}
    made = (await cloud.call("POST", "/credentials", {"credential": asked}, token=token)).body["credential"]
    assert (await shown(cloud, "/ec2tokens", signed_2(keys))).status == 404
    path = f"/credentials/{made['id']}"
    assert (await cloud.call("PATCH", path, {"credential": {"type": "ec2"}}, token=token)).status == 200
    assert (await shown(cloud, "/ec2tokens", signed_2(keys))).status == 200
    blob = json.dumps({"access": keys["access"]})
    assert (await cloud.call("PATCH", path, {"credential": {"blob": blob}}, token=token)).status == 200
    assert (await shown(cloud, "/ec2tokens", signed_2({**keys, "secret": ""}))).status == 401


async def test_a_changed_access_key_is_the_one_that_works(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    keys = await keys_of(cloud, user, project, token)
    path = f"/credentials/{hashlib.sha256(keys['access'].encode()).hexdigest()}"
    new = {"access": new_hex_id(), "secret": new_hex_id()}
    assert (await cloud.call("PATCH", path, {"credential": {"blob": json.dumps(new)}}, token=token)).status == 200
    assert (await shown(cloud, "/ec2tokens", signed_2(new))).status == 200
    assert (await shown(cloud, "/ec2tokens", signed_2(keys))).status == 404
    assert (await shown(cloud, "/ec2tokens", signed_2({**new, "access": keys["access"]}))).status == 404


# --- what takes it away again (security class 7)

Change = Callable[[Cloud, Any, Any, Any], Awaitable[Answer]]


async def delete_keys(cloud: Cloud, user: Any, project: Any, keys: Any) -> Answer:
    return await cloud.call("DELETE", f"/users/{user['id']}/credentials/OS-EC2/{keys['access']}")


async def change_secret(cloud: Cloud, user: Any, project: Any, keys: Any) -> Answer:
    blob = json.dumps({"access": keys["access"], "secret": "another"})
    path = f"/credentials/{hashlib.sha256(keys['access'].encode()).hexdigest()}"
    return await cloud.call("PATCH", path, {"credential": {"blob": blob}})


async def disable_user(cloud: Cloud, user: Any, project: Any, keys: Any) -> Answer:
    return await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"enabled": False}})


async def disable_project(cloud: Cloud, user: Any, project: Any, keys: Any) -> Answer:
    return await cloud.call("PATCH", f"/projects/{project['id']}", {"project": {"enabled": False}})


async def disable_domain(cloud: Cloud, user: Any, project: Any, keys: Any) -> Answer:
    return await cloud.call("PATCH", "/domains/default", {"domain": {"enabled": False}})


async def remove_role(cloud: Cloud, user: Any, project: Any, keys: Any) -> Answer:
    return await cloud.call("DELETE", f"/projects/{project['id']}/users/{user['id']}/roles/{cloud.roles['member']}")


@pytest.mark.parametrize(
    "change",
    [delete_keys, change_secret, disable_user, disable_project, disable_domain, remove_role],
    ids=lambda change: change.__name__,
)
async def test_what_takes_the_right_away_kills_the_tokens_and_the_signature(cloud: Cloud, change: Change) -> None:
    user, project, token = await cloud.member()
    _, _, others = await cloud.member()
    keys = await keys_of(cloud, user, project, token)
    answer = await shown(cloud, "/ec2tokens", signed_2(keys), cloud.admin_token)
    made = answer.headers["X-Subject-Token"]
    again = await cloud.again(made)
    assert again.status == 201, again
    child = again.headers["X-Subject-Token"]
    for one in (made, child):
        await cloud.identity.tokens.authenticate(one)
    service = cloud.admin_token
    assert (await change(cloud, user, project, keys)).status in (200, 204)
    for one in (made, child):
        with pytest.raises(Unauthorized):
            await cloud.identity.tokens.authenticate(one)
    if change is not disable_domain:
        answer = await shown(cloud, "/ec2tokens", signed_2(keys), service)
        assert answer.status == (404 if change is delete_keys else 401), answer
        await cloud.identity.tokens.authenticate(others)
    if change in (delete_keys, change_secret):
        await cloud.identity.tokens.authenticate(token)


# --- what it never gives (security class 8)


async def test_a_token_of_a_signature_opens_nothing_in_identity_and_stays_in_its_project(cloud: Cloud) -> None:
    user, project, token = await cloud.member("admin")
    second = await cloud.made("project")
    await cloud.call("PUT", f"/projects/{second['id']}/users/{user['id']}/roles/{cloud.roles['admin']}")
    keys = await keys_of(cloud, user, project, token)
    made = (await shown(cloud, "/ec2tokens", signed_2(keys))).headers["X-Subject-Token"]
    validated = await cloud.call("GET", "/auth/tokens", headers={"X-Subject-Token": made})
    assert validated.status == 200, validated
    again = await cloud.again(made)
    assert again.status == 201, again
    assert again.body["token"]["project"]["id"] == project["id"]
    assert set(again.body["token"]["methods"]) == {"ec2credential", "token"}
    for scope in (
        "unscoped",
        {"project": {"id": second["id"]}},
        {"domain": {"id": "default"}},
        {"system": {"all": True}},
    ):
        assert (await cloud.again(made, scope)).status == 403, scope
    for one in (made, again.headers["X-Subject-Token"]):
        for method, path, body in (
            ("GET", "/users", None),
            ("GET", "/auth/projects", None),
            ("GET", f"/users/{user['id']}/credentials/OS-EC2", None),
            ("POST", f"/users/{user['id']}/credentials/OS-EC2", {"tenant_id": project["id"]}),
            ("POST", "/ec2tokens", {"credentials": signed_2(keys)}),
        ):
            assert (await cloud.call(method, path, body, token=one)).status == 403, path


async def app_cred(cloud: Cloud, user: Any, token: str, role: str, **more: Any) -> tuple[str, str]:
    """(id of an unrestricted application credential with one role, token by it)."""
    asked = {"name": new_hex_id(), "unrestricted": True, "roles": [{"name": role}], **more}
    path = f"/users/{user['id']}/application_credentials"
    answer = await cloud.call("POST", path, {"application_credential": asked}, token=token)
    assert answer.status == 201, answer
    made = answer.body["application_credential"]
    with_secret = {"id": made["id"], "secret": made["secret"]}
    answer = await cloud.auth({"methods": ["application_credential"], "application_credential": with_secret})
    return made["id"], answer.headers["X-Subject-Token"]


@ways
async def test_keys_made_by_a_delegation_never_give_more_than_it(cloud: Cloud, path: str, sign: Signer) -> None:
    """OSSA-2020-003, -004: the roles are those of the application credential, and end with it."""
    user, project, token = await cloud.member("manager")
    app_cred_id, by = await app_cred(cloud, user, token, "member")
    keys = await keys_of(cloud, user, project, by)
    answer = await shown(cloud, path, sign(keys), cloud.admin_token)
    assert answer.status == 200, answer
    assert {role["name"] for role in answer.body["token"]["roles"]} == {"member", "reader"}
    assert answer.body["token"]["application_credential"]["id"] == app_cred_id
    gone = f"/users/{user['id']}/application_credentials/{app_cred_id}"
    assert (await cloud.call("DELETE", gone, token=token)).status == 204
    made = answer.headers.get("X-Subject-Token")
    if made is not None:
        with pytest.raises(Unauthorized):
            await cloud.identity.tokens.authenticate(made)
    assert (await shown(cloud, path, sign(keys), cloud.admin_token)).status == 401


async def test_keys_end_with_the_delegation_that_made_them(
    cloud: Cloud, time_passes: Callable[[timedelta], None]
) -> None:
    user, project, token = await cloud.member()
    ends = datetime.now(UTC) + timedelta(minutes=5)
    _, by = await app_cred(cloud, user, token, "member", expires_at=ends.isoformat())
    keys = await keys_of(cloud, user, project, by)
    answer = await shown(cloud, "/ec2tokens", signed_2(keys), cloud.admin_token)
    assert datetime.fromisoformat(answer.body["token"]["expires_at"]) <= ends
    time_passes(timedelta(minutes=6))
    assert (await shown(cloud, "/ec2tokens", signed_2(keys), cloud.admin_token)).status == 401


async def test_a_delegation_neither_sees_nor_makes_keys_beyond_itself(cloud: Cloud) -> None:
    user, project, token = await cloud.member("manager")
    second = await cloud.made("project")
    full = await keys_of(cloud, user, project, token)
    _, by = await app_cred(cloud, user, token, "member")
    own = await keys_of(cloud, user, project, by)
    path = f"/users/{user['id']}/credentials/OS-EC2"
    assert (await cloud.call("GET", path, token=by)).body["credentials"] == [own]
    for method in ("GET", "DELETE"):
        answer = await cloud.call(method, f"{path}/{full['access']}", token=by)
        assert answer.status == 403, answer
        assert full["secret"].encode() not in answer.data
    assert (await cloud.call("POST", path, {"tenant_id": second["id"]}, token=by)).status == 403
    assert (await cloud.call("DELETE", f"{path}/{own['access']}", token=by)).status == 204


@pytest.mark.parametrize("impersonation", [True, False])
async def test_keys_made_by_a_trust_are_as_good_as_the_trust(cloud: Cloud, impersonation: bool) -> None:
    user, project, token = await cloud.member("manager")
    trustee = await cloud.made("user", password=PASSWORD)
    asked = {
        "trustor_user_id": user["id"],
        "trustee_user_id": trustee["id"],
        "project_id": project["id"],
        "impersonation": impersonation,
        "roles": [{"name": "member"}],
    }
    answer = await cloud.call("POST", "/OS-TRUST/trusts", {"trust": asked}, token=token)
    assert answer.status == 201, answer
    trust_id = answer.body["trust"]["id"]
    by = await cloud.token(trustee["id"], scope={"OS-TRUST:trust": {"id": trust_id}})
    owner = user if impersonation else trustee
    keys = await keys_of(cloud, owner, project, by)
    assert keys["trust_id"] == trust_id
    answer = await shown(cloud, "/ec2tokens", signed_2(keys), cloud.admin_token)
    assert answer.status == 200, answer
    assert answer.body["token"]["user"]["id"] == owner["id"]
    assert {role["name"] for role in answer.body["token"]["roles"]} == {"member", "reader"}
    made = answer.headers["X-Subject-Token"]
    assert (await cloud.call("DELETE", f"/OS-TRUST/trusts/{trust_id}", token=token)).status == 204
    with pytest.raises(Unauthorized):
        await cloud.identity.tokens.authenticate(made)
    assert (await shown(cloud, "/ec2tokens", signed_2(keys), cloud.admin_token)).status == 401


async def test_keys_use_up_a_trust_that_is_for_a_number_of_times(cloud: Cloud) -> None:
    user, project, token = await cloud.member("manager")
    trustee = await cloud.made("user", password=PASSWORD)
    asked = {
        "trustor_user_id": user["id"],
        "trustee_user_id": trustee["id"],
        "project_id": project["id"],
        "impersonation": True,
        "remaining_uses": 2,
        "roles": [{"name": "member"}],
    }
    trust = (await cloud.call("POST", "/OS-TRUST/trusts", {"trust": asked}, token=token)).body["trust"]
    by = await cloud.token(trustee["id"], scope={"OS-TRUST:trust": {"id": trust["id"]}})
    keys = await keys_of(cloud, user, project, by)
    assert (await shown(cloud, "/ec2tokens", signed_2(keys), cloud.admin_token)).status == 200
    for _ in range(2):
        assert (await shown(cloud, "/ec2tokens", signed_2(keys), cloud.admin_token)).status in (401, 403)


async def test_keys_made_by_an_oauth_access_are_as_good_as_the_access(cloud: Cloud) -> None:
    consumer = await Consumer.made(cloud)
    access = await consumer.access("member")
    by = await consumer.own_token(access)
    keys = await keys_of(cloud, consumer.user, consumer.project, by)
    path = f"/credentials/{hashlib.sha256(keys['access'].encode()).hexdigest()}"
    made = (await cloud.call("GET", path)).body["credential"]
    assert json.loads(made["blob"])["access_token_id"] == access["oauth_token"]
    answer = await shown(cloud, "/ec2tokens", signed_2(keys), cloud.admin_token)
    assert answer.status == 200, answer
    assert {role["name"] for role in answer.body["token"]["roles"]} == {"member", "reader"}
    token = answer.headers["X-Subject-Token"]
    gone = f"{consumer.own_path}/{access['oauth_token']}"
    assert (await cloud.call("DELETE", gone, token=consumer.token)).status == 204
    with pytest.raises(Unauthorized):
        await cloud.identity.tokens.authenticate(token)
    assert (await shown(cloud, "/ec2tokens", signed_2(keys), cloud.admin_token)).status == 401


async def test_a_role_that_the_owner_loses_is_lost_to_the_keys(cloud: Cloud) -> None:
    user, project, token = await cloud.member("manager")
    _, by = await app_cred(cloud, user, token, "manager")
    own, derived_keys = await keys_of(cloud, user, project, token), await keys_of(cloud, user, project, by)
    base = f"/projects/{project['id']}/users/{user['id']}/roles"
    assert (await cloud.call("PUT", f"{base}/{cloud.roles['reader']}")).status == 204
    assert (await cloud.call("DELETE", f"{base}/{cloud.roles['manager']}")).status == 204
    answer = await shown(cloud, "/ec2tokens", signed_2(own), cloud.admin_token)
    assert [one["name"] for one in answer.body["token"]["roles"]] == ["reader"], answer
    answer = await shown(cloud, "/ec2tokens", signed_2(derived_keys), cloud.admin_token)
    assert answer.status == 401, "an application credential ends with a role of its own"


async def test_the_object_store_asks_in_process(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    keys = await keys_of(cloud, user, project, token)
    old = datetime.now(UTC) - timedelta(hours=1)
    text, scope = s3_text(old)
    said = {
        "access": keys["access"],
        "string_to_sign": text.encode(),
        "signature": mac(derived(keys["secret"], scope), text).hex(),
    }
    caller = await s3_caller(cloud.identity, **said, lifetime=timedelta(days=7))
    assert (caller.user_id, caller.project_id, caller.roles) == (user["id"], project["id"], {"member", "reader"})
    for wrong in ({}, {"lifetime": timedelta(minutes=30)}, {"signature": "0" * 64, "lifetime": timedelta(days=7)}):
        with pytest.raises(Unauthorized):
            await s3_caller(cloud.identity, **{**said, **wrong})
    with pytest.raises(NotFound):
        await s3_caller(cloud.identity, **{**said, "access": "unknown"})


class Counted:
    """A store that counts what it is asked."""

    def __init__(self, store: Store) -> None:
        self.store, self.asked = store, 0

    def __getattr__(self, name: str) -> Any:
        self.asked += 1
        return getattr(self.store, name)


@pytest.mark.parametrize(
    "change", [delete_keys, change_secret, disable_user, remove_role], ids=lambda one: one.__name__
)
async def test_who_signs_often_is_known_until_it_may_not(cloud: Cloud, store: Store, change: Change) -> None:
    counted = Counted(store)
    identity = Identity(cast(Store, counted), cloud.identity.tokens, cloud.identity.passwords)
    identity.login.credential_keys = cloud.identity.login.credential_keys
    user, project, token = await cloud.member()
    keys = await keys_of(cloud, user, project, token)

    async def ask(secret: str = keys["secret"]) -> str:
        text, scope = s3_text()
        signature = mac(derived(secret, scope), text).hex()
        said = {"access": keys["access"], "string_to_sign": text.encode(), "signature": signature}
        return (await s3_caller(identity, **said)).user_id

    assert await ask() == user["id"]
    before = counted.asked
    for _ in range(5):
        assert await ask() == user["id"]
    assert counted.asked == before
    with pytest.raises(Unauthorized):
        await ask("a guess")
    assert counted.asked > before, "a wrong signature is held against what the database has"
    assert await ask() == user["id"]
    assert (await change(cloud, user, project, keys)).status in (200, 204)
    with pytest.raises((Unauthorized, NotFound)):
        await ask()
    if change is change_secret:
        assert await ask("another") == user["id"]


async def test_the_memory_of_signers_is_bounded_short_and_silent(
    cloud: Cloud, time_passes: Callable[[timedelta], None]
) -> None:
    memory = SignerMemory(cloud.identity.tokens)
    for number in range(1100):
        memory.keep(str(number), CANARY, cloud.admin_token)
    assert len(memory) == 1000
    assert CANARY not in repr(memory._known)
    assert cloud.admin_token not in repr(memory._known)
    assert await memory.caller("0", lambda secret: None) is None
    found = await memory.caller("1099", lambda secret: None)
    assert found is not None
    assert found.user_id == cloud.admin_id
    time_passes(timedelta(seconds=61))
    assert await memory.caller("1099", lambda secret: None) is None


# --- what it tells (security class 18)


async def test_no_log_event_or_refusal_repeats_a_secret(
    cloud: Cloud, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    user, project, token = await cloud.member()
    secret, service = f"{CANARY}-{new_hex_id()}", await service_token(cloud)
    keys = {"access": new_hex_id(), "secret": secret}
    asked = {"user_id": user["id"], "project_id": project["id"], "type": "ec2", "blob": json.dumps(keys)}
    assert (await cloud.call("POST", "/credentials", {"credential": asked}, token=token)).status == 201
    good = signed_4(keys)
    for said in (
        good,
        {**good, "signature": CANARY},
        {**good, "signature": {"x": CANARY}},
        {**good, "secret": secret, "params": {"Password": CANARY}},
        {**good, "headers": {"Authorization": CANARY}},
        {**good, "headers": CANARY},
    ):
        answer = await shown(cloud, "/ec2tokens", said, service)
        assert CANARY.encode() not in answer.data, answer
    assert (await cloud.call("DELETE", f"/users/{user['id']}/credentials/OS-EC2/{keys['access']}")).status == 204
    assert not [row["type"] for row in await store.fetch("SELECT type, body FROM bus.outbox") if CANARY in row["body"]]
    logged = capsys.readouterr()
    assert "/ec2tokens" in logged.out + logged.err
    assert CANARY not in logged.out + logged.err

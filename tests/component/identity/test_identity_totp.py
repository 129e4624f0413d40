"""Passcodes through the API: right for a minute, good once, and not to be guessed."""

from __future__ import annotations

import asyncio
import base64
import os
from typing import Any

from identity_cloud import PASSWORD, Cloud
from login_settings import at

from skybus import clock
from skybus.identity.login.login_failures import PASSCODE_FAILURES, PASSCODE_SECONDS
from skybus.identity.login.totp import STEP_SECONDS, passcode, step_at
from skybus.store import Store
from support.front import Answer


def now() -> float:
    """The time in the middle of a step, so that a test does not meet the next one."""
    return step_at(clock.now().timestamp()) * STEP_SECONDS + STEP_SECONDS / 2


async def enrolled(cloud: Cloud, **more: Any) -> tuple[Any, bytes]:
    """A user with a password and a secret for passcodes."""
    user = await cloud.made("user", password=PASSWORD, **more)
    return user, await enrol(cloud, user)


async def enrol(cloud: Cloud, user: Any) -> bytes:
    """A new secret of the user's."""
    secret = os.urandom(20)
    blob = base64.b32encode(secret).rstrip(b"=").decode()
    asked = {"credential": {"type": "totp", "blob": blob, "user_id": user["id"]}}
    answer = await cloud.call("POST", "/credentials", asked)
    assert answer.status == 201, answer
    return secret


def by_totp(user: Any, code: str) -> dict[str, Any]:
    """An identity object that shows a passcode."""
    return {"methods": ["totp"], "totp": {"user": {"id": user["id"], "passcode": code}}}


async def test_a_passcode_opens_a_token(cloud: Cloud) -> None:
    user, secret = await enrolled(cloud)
    with at(now()):
        answer = await cloud.auth(by_totp(user, passcode(secret, step_at(now()))))
    assert answer.status == 201
    assert answer.body["token"]["methods"] == ["totp"]
    assert answer.body["token"]["user"]["id"] == user["id"]


async def test_a_user_is_named_by_name_and_domain_too(cloud: Cloud) -> None:
    user, secret = await enrolled(cloud)
    with at(now()):
        named = {"name": user["name"], "domain": {"name": "Default"}, "passcode": passcode(secret, step_at(now()))}
        assert (await cloud.auth({"methods": ["totp"], "totp": {"user": named}})).status == 201


async def test_a_passcode_is_good_once(cloud: Cloud, store: Store) -> None:
    user, secret = await enrolled(cloud)
    moment = now()
    with at(moment):
        shown = by_totp(user, passcode(secret, step_at(moment)))
        answers = await asyncio.gather(*(cloud.auth(shown) for _ in range(5)))
        assert sorted(answer.status for answer in answers) == [201, 401, 401, 401, 401]
        # Nor is one that is older than one that was used.
        assert (await cloud.auth(by_totp(user, passcode(secret, step_at(moment) - 1)))).status == 401
    with at(moment + STEP_SECONDS):
        assert (await cloud.auth(shown)).status == 401
        assert (await cloud.auth(by_totp(user, passcode(secret, step_at(moment) + 1)))).status == 201


async def test_two_devices_are_used_apart(cloud: Cloud) -> None:
    user, first = await enrolled(cloud)
    second = await enrol(cloud, user)
    with at(now()):
        for secret in (first, second):
            assert (await cloud.auth(by_totp(user, passcode(secret, step_at(now()))))).status == 201


async def test_a_passcode_is_good_for_its_step_and_the_next(cloud: Cloud) -> None:
    user, secret = await enrolled(cloud)
    moment = now()
    code = by_totp(user, passcode(secret, step_at(moment)))
    for late, status in ((-1, 401), (2, 401), (1, 201)):
        with at(moment + late * STEP_SECONDS):
            assert (await cloud.auth(code)).status == status, late


async def test_every_refusal_reads_the_same(cloud: Cloud) -> None:
    """Security class 17."""
    user, secret = await enrolled(cloud)
    off, offs = await enrolled(cloud, enabled=False)
    other, others = await enrolled(cloud)
    without = await cloud.made("user", password=PASSWORD)
    with at(now()):
        step = step_at(now())
        answers = [
            await cloud.auth(by_totp(user, "000000" if passcode(secret, step) != "000000" else "000001")),
            await cloud.auth(by_totp(user, passcode(others, step))),
            await cloud.auth(by_totp(user, "")),
            await cloud.auth(by_totp(off, passcode(offs, step))),
            await cloud.auth(by_totp(without, "123456")),
            await cloud.auth(by_totp({"id": "0" * 32}, "123456")),
        ]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.data for answer in answers}) == 1
    assert other["id"] != user["id"]


async def test_passcodes_cannot_be_guessed_one_by_one(cloud: Cloud) -> None:
    """Security class 16: there are a million, and nobody may try many of them, whatever the settings say."""
    user, secret = await enrolled(cloud, options={"ignore_lockout_failure_attempts": True})
    moment = now()
    with at(moment):
        good = passcode(secret, step_at(moment))
        wrong = [f"{number:06d}" for number in range(PASSCODE_FAILURES + 2)]
        near = {passcode(secret, step_at(moment) - 1), good}
        for code in [code for code in wrong if code not in near][:PASSCODE_FAILURES]:
            assert (await cloud.auth(by_totp(user, code))).status == 401
        assert (await cloud.auth(by_totp(user, good))).status == 401
        assert (await cloud.password(user["id"])).status == 201
    later = moment + PASSCODE_SECONDS + STEP_SECONDS
    with at(later):
        assert (await cloud.auth(by_totp(user, passcode(secret, step_at(later))))).status == 201


async def with_receipt(cloud: Cloud, identity: dict[str, Any], receipt: str) -> Answer:
    """Authenticate on the strength of a receipt."""
    headers = {"Openstack-Auth-Receipt": receipt}
    body = {"auth": {"identity": identity}}
    return await cloud.client.call("POST", "/identity/v3/auth/tokens", body, token=None, headers=headers)


async def test_password_and_passcode_together_and_in_either_order(cloud: Cloud) -> None:
    rules = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["password", "totp"]]}
    user, secret = await enrolled(cloud, options=rules)
    by_password = {"methods": ["password"], "password": {"user": {"id": user["id"], "password": PASSWORD}}}
    moment = now()
    for step, first_password in enumerate((True, False)):
        with at(moment + step * STEP_SECONDS):
            code = by_totp(user, passcode(secret, step_at(moment) + step))
            first, second = (by_password, code) if first_password else (code, by_password)
            part = await cloud.auth(first)
            assert part.status == 401
            assert part.body["required_auth_methods"] == [["password", "totp"]]
            receipt = part.headers["Openstack-Auth-Receipt"]
            whole = await with_receipt(cloud, second, receipt)
            assert whole.status == 201
            assert set(whole.body["token"]["methods"]) == {"password", "totp"}
            assert (await with_receipt(cloud, code, receipt)).status == 401
    with at(moment + 2 * STEP_SECONDS):
        code = by_totp(user, passcode(secret, step_at(moment) + 2))
        at_once = {**by_password, **code, "methods": ["password", "totp"]}
        assert (await cloud.auth(at_once)).status == 201


async def test_steps_that_guard_nothing_any_more_are_forgotten(cloud: Cloud, store: Store) -> None:
    user, secret = await enrolled(cloud)
    moment = now()
    with at(moment):
        await cloud.auth(by_totp(user, passcode(secret, step_at(moment))))
    again = await enrol(cloud, user)
    with at(moment + 3000):
        assert (await cloud.auth(by_totp(user, passcode(again, step_at(moment + 3000))))).status == 201
    count = "SELECT count(*) FROM identity.totp_step WHERE user_id = $1"
    assert await store.fetchval(count, user["id"]) == 1
    await cloud.call("DELETE", f"/users/{user['id']}")
    assert await store.fetchval(count, user["id"]) == 0

"""Who is locked out, after what, and what an outsider can learn of it: nothing (security 16, 17)."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from datetime import timedelta
from typing import Any

import pytest
from counting_store import Counting
from identity_cloud import PASSWORD, Cloud
from login_settings import change, later, obey

from skybus import clock
from skybus.config import SecurityCompliance
from skybus.errors import Unauthorized
from skybus.identity import Identity, Tokens
from skybus.identity.login.passwords import NICE, Passwords, hash_now
from skybus.store import Store


def elsewhere(cloud: Cloud, store: Store) -> Identity:
    """Another gateway process with the same keys and settings."""
    tokens = Tokens(cloud.identity.tokens.keys)
    return Identity(store, tokens, cloud.identity.passwords, compliance=cloud.identity.compliance)


def shown(user: Any, password: str) -> dict[str, Any]:
    """An identity object that shows a password."""
    return {"methods": ["password"], "password": {"user": {"id": user["id"], "password": password}}}


async def test_wrong_passwords_lock_a_user_for_a_while(cloud: Cloud, store: Store) -> None:
    obey(cloud, lockout_failure_attempts=3, lockout_duration=60)
    user = await cloud.made("user", password=PASSWORD)
    for _ in range(3):
        assert (await cloud.password(user["id"], "wrong")).status == 401
    locked, wrong = await cloud.password(user["id"]), await cloud.password(user["id"], "wrong")
    assert locked.status == 401
    assert locked.data == wrong.data
    assert (await change(cloud, user, PASSWORD, "new")).status == 401
    told = await store.fetch("SELECT body FROM bus.outbox WHERE type = 'skybus.identity.user.locked.v1'")
    assert len(told) == 1
    with later(seconds=61):
        assert (await cloud.password(user["id"], "wrong")).status == 401
        assert (await cloud.password(user["id"])).status == 201
        assert (await cloud.password(user["id"], "wrong")).status == 401
        assert (await cloud.password(user["id"], "wrong")).status == 401
        assert (await cloud.password(user["id"])).status == 201


async def test_attempts_during_a_lock_do_not_prolong_it(cloud: Cloud) -> None:
    obey(cloud, lockout_failure_attempts=2, lockout_duration=60)
    user = await cloud.made("user", password=PASSWORD)
    for _ in range(2):
        await cloud.password(user["id"], "wrong")
    with later(seconds=50):
        assert (await cloud.password(user["id"], "wrong")).status == 401
        assert (await cloud.password(user["id"])).status == 401
    with later(seconds=61):
        assert (await cloud.password(user["id"])).status == 201


async def test_failures_are_counted_over_all_gateway_processes(cloud: Cloud, store: Store) -> None:
    obey(cloud, lockout_failure_attempts=4)
    user = await cloud.made("user", password=PASSWORD)
    other = elsewhere(cloud, store)
    for _ in range(2):
        await cloud.password(user["id"], "wrong")
        for identity in (shown(user, "wrong"),):
            try:
                await other.login.prove(identity)
            except Unauthorized:
                continue
            raise AssertionError("a wrong password was taken")
    assert (await cloud.password(user["id"])).status == 401


async def test_many_attempts_at_once_do_not_slip_past_the_lock(cloud: Cloud, store: Store) -> None:
    obey(cloud, lockout_failure_attempts=3)
    user = await cloud.made("user", password=PASSWORD)
    await asyncio.gather(*(cloud.password(user["id"], f"wrong {n}") for n in range(24)))
    assert (await cloud.password(user["id"])).status == 401
    assert await store.fetchval("SELECT count FROM identity.login_failure WHERE who = $1", user["id"]) == 3


async def test_a_lock_without_an_end_is_lifted_by_enabling(cloud: Cloud) -> None:
    obey(cloud, lockout_failure_attempts=1, lockout_duration=0)
    user = await cloud.made("user", password=PASSWORD)
    await cloud.password(user["id"], "wrong")
    with later(days=1000):
        assert (await cloud.password(user["id"])).status == 401
    assert (await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"enabled": True}})).status == 200
    assert (await cloud.password(user["id"])).status == 201


async def test_a_user_may_be_exempt_from_the_lock(cloud: Cloud) -> None:
    obey(cloud, lockout_failure_attempts=1)
    user = await cloud.made("user", password=PASSWORD, options={"ignore_lockout_failure_attempts": True})
    for _ in range(3):
        await cloud.password(user["id"], "wrong")
    assert (await cloud.password(user["id"])).status == 201


async def test_failures_on_nobody_leave_a_bounded_number_of_rows(cloud: Cloud, store: Store) -> None:
    """Security class 16."""
    obey(cloud, lockout_failure_attempts=3)
    for number in range(100):
        assert (await cloud.password(f"{number:032x}", "x")).status == 401
    assert await store.fetchval("SELECT count(*) FROM identity.login_failure") <= 64
    user = await cloud.made("user", password=PASSWORD)
    await cloud.password(user["id"], "wrong")
    assert (await cloud.call("DELETE", f"/users/{user['id']}")).status == 204
    assert not await store.fetchval("SELECT count(*) FROM identity.login_failure WHERE who = $1", user["id"])


async def test_a_user_that_stays_away_is_disabled(cloud: Cloud) -> None:
    obey(cloud, disable_user_account_days_inactive=30)
    user = await cloud.made("user", password=PASSWORD)
    loyal = await cloud.made("user", password=PASSWORD, options={"ignore_user_inactivity": True})
    with later(days=20):
        assert (await cloud.password(user["id"])).status == 201
    with later(days=45):
        assert (await cloud.password(user["id"])).status == 201
    with later(days=90):
        assert (await cloud.password(user["id"])).status == 401
        assert (await cloud.password(loyal["id"])).status == 201
        assert (await change(cloud, user, PASSWORD, "x")).status == 401
        admin = await cloud.identity.login.store.fetchrow("SELECT 1")
        assert admin is not None
    obey(cloud)
    assert (await cloud.password(user["id"])).status == 201


async def test_an_inactive_user_is_shown_disabled_and_enabled_again(cloud: Cloud, store: Store) -> None:
    obey(cloud, disable_user_account_days_inactive=30)
    user = await cloud.made("user", password=PASSWORD)
    await store.fetchval(
        "UPDATE identity.\"user\" SET created_at = created_at - interval '60 days' WHERE id = $1", user["id"]
    )
    assert (await cloud.call("GET", f"/users/{user['id']}")).body["user"]["enabled"] is False
    assert (await cloud.password(user["id"])).status == 401
    body = {"user": {"enabled": True}}
    assert (await cloud.call("PATCH", f"/users/{user['id']}", body)).body["user"]["enabled"] is True
    assert (await cloud.password(user["id"])).status == 201


async def refusable(cloud: Cloud) -> dict[str, tuple[str, str]]:
    """(user id, password) of a refusal of every kind."""
    obey(cloud, lockout_failure_attempts=1000)
    user = await cloud.made("user", password=PASSWORD)
    off = await cloud.made("user", password=PASSWORD, enabled=False)
    locked = await cloud.made("user", password=PASSWORD)
    without = await cloud.made("user")
    await cloud.password(locked["id"], "wrong")
    row = "UPDATE identity.login_failure SET count = 1000 WHERE who = $1"
    await cloud.identity.store.fetchval(row, locked["id"])
    return {
        "wrong": (user["id"], "wrong"),
        "unknown": ("0" * 32, PASSWORD),
        "disabled": (off["id"], PASSWORD),
        "disabled and wrong": (off["id"], "wrong"),
        "locked": (locked["id"], PASSWORD),
        "locked and wrong": (locked["id"], "wrong"),
        "no password": (without["id"], PASSWORD),
    }


async def test_a_refusal_takes_the_same_work_whatever_its_reason(cloud: Cloud, store: Store) -> None:
    """Security class 17: the same statements in the same order, and one hash."""
    tries = await refusable(cloud)
    counting = Counting(store)
    other = Identity(counting, Tokens(cloud.identity.tokens.keys), cloud.identity.passwords)  # type: ignore[arg-type]
    other.login.compliance = cloud.identity.compliance
    check = cloud.identity.passwords.check

    async def counted(password: str, hashed: str | None) -> bool:
        counting.asked.append("a hash")
        return await check(password, hashed)

    cloud.identity.passwords.check = counted  # type: ignore[method-assign]
    work: dict[str, list[str]] = {}
    # A gateway's first login learns the revocations and the like; the second round is what counts.
    for name, (user_id, password) in [*tries.items(), *tries.items()]:
        counting.asked.clear()
        with pytest.raises(Unauthorized):
            await other.login.prove(shown({"id": user_id}, password))
        work[name] = [" ".join(sql.split())[:60] for sql in counting.asked]
    assert work["wrong"].count("a hash") == 1
    assert {name: done for name, done in work.items() if done != work["wrong"]} == {}


async def test_a_refusal_takes_as_long_whatever_its_reason(cloud: Cloud) -> None:
    """Security class 17. Tries of all kinds take turns, so that whatever else the machine does meets all of them."""
    tries = await refusable(cloud)
    cloud.identity.passwords.rounds = rounds = 8
    cloud.identity.passwords._nobody = hash_now("nobody", rounds)
    for user_id, _ in tries.values():
        body = {"user": {"password": PASSWORD}}
        assert (await cloud.call("PATCH", f"/users/{user_id}", body)).status in (200, 404)
    times: dict[str, list[float]] = {name: [] for name in tries if name != "no password"}
    for _ in range(8):
        for _ in range(20):
            for name, taken in times.items():
                began = time.perf_counter()
                with pytest.raises(Unauthorized):
                    await cloud.identity.login.prove(shown({"id": tries[name][0]}, tries[name][1]))
                taken.append(time.perf_counter() - began)
        # Others' work on the machine only adds to a time: the quicker half says more than the slower one.
        usual = {name: statistics.quantiles(taken, n=4)[0] for name, taken in times.items()}
        if max(usual.values()) < 1.15 * min(usual.values()):
            return
    raise AssertionError(f"refusals take different times: {usual}")


async def test_a_wrong_secret_costs_a_hash_whether_or_not_there_is_such_a_credential(cloud: Cloud) -> None:
    """Security class 17: or the names of users and of their credentials could be found out by the clock."""
    user, _, token = await cloud.member()
    path = f"/users/{user['id']}/application_credentials"
    made = {}
    for name, secret in (("ours", None), ("given", "of my own")):
        asked = {"application_credential": {"name": name, **({"secret": secret} if secret else {})}}
        made[name] = (await cloud.call("POST", path, asked, token=token)).body["application_credential"]
    checks: list[str] = []
    check = cloud.identity.passwords.check

    async def counted(password: str, hashed: str | None) -> bool:
        checks.append(password)
        return await check(password, hashed)

    cloud.identity.passwords.check = counted  # type: ignore[method-assign]
    me = {"id": user["id"]}
    shown: list[dict[str, Any]] = [
        {"name": "ours", "user": me},
        {"name": "given", "user": me},
        {"name": "no such", "user": me},
        {"name": "ours", "user": {"id": "0" * 32}},
        {"id": made["ours"]["id"]},
        {"id": "0" * 32},
    ]
    for one in shown:
        checks.clear()
        identity = {"methods": ["application_credential"], "application_credential": {**one, "secret": "wrong"}}
        assert (await cloud.auth(identity)).status == 401
        assert checks == ["wrong"], one
    checks.clear()
    right = {"id": made["ours"]["id"], "secret": made["ours"]["secret"]}
    assert (await cloud.auth({"methods": ["application_credential"], "application_credential": right})).status == 201
    assert checks == []


async def test_hashing_gives_way_to_the_event_loop() -> None:
    """What keeps other calls quick while many log in: few threads, and each of lower priority than the loop."""
    passwords = Passwords(4)
    try:
        nice = [await passwords._run(lambda: os.getpriority(os.PRIO_PROCESS, 0)) for _ in range(4)]
    finally:
        passwords.close()
    assert set(nice) == {os.getpriority(os.PRIO_PROCESS, 0) + NICE} or set(nice) == {19}


async def test_the_loop_turns_while_fifty_log_in() -> None:
    passwords = Passwords(10)
    hashed = hash_now("right", 10)
    try:
        logins = asyncio.gather(*(passwords.check("wrong", hashed) for _ in range(50)))
        late = []
        while not logins.done():
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - began)
        assert not any(await logins)
    finally:
        passwords.close()
    # A hash takes 50 ms: were one of them on the loop, or did it hold Python's lock, no turn would be shorter.
    assert len(late) > 50
    assert statistics.median(late) < 0.02


def test_the_clock_of_these_tests_is_put_back() -> None:
    assert abs(clock.now().timestamp() - time.time()) < timedelta(seconds=5).total_seconds()
    assert SecurityCompliance().lockout_failure_attempts is None

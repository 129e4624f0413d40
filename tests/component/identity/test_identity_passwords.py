"""What passwords must obey: age, history, pattern, first use; and who may change them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from identity_cloud import PASSWORD, Cloud
from login_settings import change, later, obey

from skybus import clock
from skybus.config import SecurityCompliance
from skybus.store import Store
from support.front import Answer


async def reset(cloud: Cloud, user: Any, new: str | None) -> Answer:
    """The administrator sets a user's password."""
    return await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"password": new}})


async def test_a_password_that_expired_opens_nothing_but_its_own_change(cloud: Cloud) -> None:
    obey(cloud, password_expires_days=30)
    user = await cloud.made("user", password=PASSWORD)
    assert user["password_expires_at"] is not None
    answer = await cloud.password(user["id"])
    assert answer.status == 201
    assert answer.body["token"]["user"]["password_expires_at"] + "Z" == user["password_expires_at"]
    with later(days=31):
        late = await cloud.password(user["id"])
        assert late.status == 401
        assert (
            late.body["error"]["message"] == f"The password is expired and needs to be changed for user: {user['id']}."
        )
        wrong = await cloud.password(user["id"], "wrong")
        assert "expired" not in wrong.body["error"]["message"]
        assert (await change(cloud, user, "wrong", "new one")).status == 401
        assert (await change(cloud, user, PASSWORD, "new one")).status == 204
        assert (await cloud.password(user["id"], "new one")).status == 201


async def test_a_user_may_be_exempt_from_expiry(cloud: Cloud) -> None:
    obey(cloud, password_expires_days=30)
    user = await cloud.made("user", password=PASSWORD)
    exempt = await cloud.made("user", password=PASSWORD, options={"ignore_password_expiry": True})
    assert exempt["password_expires_at"] is None
    options = {"user": {"options": {"ignore_password_expiry": True}}}
    assert (await cloud.call("PATCH", f"/users/{user['id']}", options)).status == 200
    with later(days=31):
        assert (await cloud.password(user["id"])).status == 201
        assert (await cloud.password(exempt["id"])).status == 201
    assert (
        await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"options": {"ignore_password_expiry": None}}})
    ).body["user"]["options"] == {}
    with later(days=31):
        assert (await cloud.password(user["id"])).status == 401


async def test_a_password_of_an_administrators_choice_must_be_changed_first(cloud: Cloud) -> None:
    obey(cloud, change_password_upon_first_use=True)
    user = await cloud.made("user", password=PASSWORD)
    robot = await cloud.made("user", password=PASSWORD, options={"ignore_change_password_upon_first_use": True})
    assert (await cloud.password(user["id"])).status == 401
    assert (await cloud.password(robot["id"])).status == 201
    assert (await change(cloud, user, PASSWORD, "mine")).status == 204
    assert (await cloud.password(user["id"], "mine")).status == 201
    assert (await reset(cloud, user, "theirs")).status == 200
    assert (await cloud.password(user["id"], "theirs")).status == 401


async def test_a_user_cannot_go_back_to_an_earlier_password_and_an_administrator_can(cloud: Cloud) -> None:
    obey(cloud, unique_last_password_count=3)
    user = await cloud.made("user", password="one")
    assert (await change(cloud, user, "one", "two")).status == 204
    assert (await change(cloud, user, "two", "three")).status == 204
    for used in ("one", "two", "three"):
        answer = await change(cloud, user, "three", used)
        assert answer.status == 400
        assert "cannot be identical to a previous password" in answer.body["error"]["message"]
    assert (await change(cloud, user, "three", "four")).status == 204
    assert (await change(cloud, user, "four", "one")).status == 204
    assert (await reset(cloud, user, "four")).status == 200
    assert (await cloud.password(user["id"], "four")).status == 201


async def test_no_more_passwords_are_kept_than_the_history_needs(cloud: Cloud, store: Store) -> None:
    user = await cloud.made("user", password="0")
    count = "SELECT count(*) FROM identity.password WHERE user_id = $1"
    for number in range(3):
        assert (await change(cloud, user, str(number), str(number + 1))).status == 204
    assert await store.fetchval(count, user["id"]) == 1
    obey(cloud, unique_last_password_count=2)
    for number in range(3, 7):
        assert (await change(cloud, user, str(number), str(number + 1))).status == 204
    assert await store.fetchval(count, user["id"]) == 2


async def test_a_password_that_its_user_chose_must_be_kept_for_a_while(cloud: Cloud) -> None:
    obey(cloud, minimum_password_age=2)
    user = await cloud.made("user", password=PASSWORD)
    assert (await change(cloud, user, PASSWORD, "mine")).status == 204
    answer = await change(cloud, user, "mine", "mine too")
    assert answer.status == 400
    assert "minimum password age" in answer.body["error"]["message"]
    with later(days=2, seconds=1):
        assert (await change(cloud, user, "mine", "mine too")).status == 204
    assert (await reset(cloud, user, "theirs")).status == 200
    assert (await change(cloud, user, "theirs", "mine again")).status == 204


async def test_a_password_must_match_the_operators_pattern(cloud: Cloud) -> None:
    obey(cloud, password_regex=r"^(?=.*\d)(?=.*[a-z]).{7,}$", password_regex_description="a letter, a digit, 7 signs")
    answer = await cloud.call("POST", "/users", {"user": {"name": "weak", "password": "short1"}})
    assert answer.status == 400
    assert "a letter, a digit, 7 signs" in answer.body["error"]["message"]
    assert "short1" not in answer.body["error"]["message"]
    user = await cloud.made("user", password="strong enough 1")
    assert (await reset(cloud, user, "weak")).status == 400
    assert (await change(cloud, user, "strong enough 1", "weak")).status == 400
    assert (await change(cloud, user, "strong enough 1", "strong enough 2")).status == 204


async def test_a_locked_password_is_changed_by_an_administrator_alone(cloud: Cloud) -> None:
    user = await cloud.made("user", password=PASSWORD, options={"lock_password": True})
    answer = await change(cloud, user, PASSWORD, "mine")
    assert answer.status == 400
    assert (await change(cloud, user, "wrong", "mine")).status == 401
    assert (await reset(cloud, user, "theirs")).status == 200
    assert (await cloud.password(user["id"], "theirs")).status == 201


async def test_a_password_that_is_taken_away_opens_nothing(cloud: Cloud) -> None:
    user = await cloud.made("user", password=PASSWORD)
    token = await cloud.token(user["id"])
    assert (await reset(cloud, user, None)).status == 200
    assert (await cloud.password(user["id"])).status == 401
    assert not await cloud.works(token)
    assert (await reset(cloud, user, "again")).status == 200
    assert (await cloud.password(user["id"], "again")).status == 201


@pytest.mark.parametrize(
    "options",
    [
        {"no_such_option": True},
        {"lock_password": "yes"},
        {"multi_factor_auth_rules": [[]]},
        {"multi_factor_auth_rules": ["password"]},
        {"multi_factor_auth_rules": [["password", "password"]]},
        {"multi_factor_auth_rules": [["password"], ["password"]]},
        {"multi_factor_auth_enabled": 1},
    ],
)
async def test_an_option_that_cannot_be_meant_is_refused(cloud: Cloud, options: Any) -> None:
    assert (await cloud.call("POST", "/users", {"user": {"name": "u", "options": options}})).status == 400
    assert (await cloud.call("PATCH", f"/users/{cloud.admin_id}", {"user": {"options": options}})).status == 400


async def test_users_are_listed_by_the_end_of_their_passwords(cloud: Cloud) -> None:
    obey(cloud, password_expires_days=10)
    soon = await cloud.made("user", password=PASSWORD)
    obey(cloud, password_expires_days=100)
    late = await cloud.made("user", password=PASSWORD)
    between = (clock.now() + timedelta(days=50)).strftime("%Y-%m-%dT%H:%M:%SZ")

    async def listed(text: str) -> set[str]:
        answer = await cloud.call("GET", f"/users?password_expires_at={text}")
        assert answer.status == 200, answer
        return {user["id"] for user in answer.body["users"]}

    assert await listed(f"lt:{between}") == {soon["id"]}
    assert await listed(f"gt:{between}") == {late["id"]}
    assert await listed(f"lte:{soon['password_expires_at']}") == {soon["id"]}
    assert await listed(soon["password_expires_at"]) == {soon["id"]}
    assert await listed(f"neq:{soon['password_expires_at']}") == {late["id"]}
    group = await cloud.made("group")
    for user in (soon, late):
        assert (await cloud.call("PUT", f"/groups/{group['id']}/users/{user['id']}")).status == 204
    members = await cloud.call("GET", f"/groups/{group['id']}/users?password_expires_at=lt:{between}")
    assert [user["id"] for user in members.body["users"]] == [soon["id"]]
    for wrong in ("gt:yesterday", "above:" + between, "gt:", "soon"):
        assert (await cloud.call("GET", f"/users?password_expires_at={wrong}")).status == 400, wrong


async def test_settings_that_cannot_be_meant_are_refused() -> None:
    for wrong in (
        {"lockout_failure_attempts": 0},
        {"password_expires_days": -1},
        {"unique_last_password_count": 1000},
        {"minimum_password_age": -1},
        {"password_regex": "("},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SecurityCompliance(**wrong)  # type: ignore[arg-type]

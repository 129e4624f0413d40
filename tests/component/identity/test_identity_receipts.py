"""Several methods together: which suffice, and how a receipt carries a login on from one request to the next."""

from __future__ import annotations

from typing import Any

import pytest
from identity_cloud import PASSWORD, Cloud
from login_settings import later

from skybus.errors import Unauthorized
from skybus.identity import Identity, Tokens
from skybus.identity.login.login import MoreNeeded
from skybus.identity.people.users import LOGIN_BY_ID
from skybus.store import Store
from support.front import Answer

RULES = [["password", "application_credential"]]


async def show(cloud: Cloud, identity: dict[str, Any], receipt: str | None = None) -> Answer:
    """Authenticate, with a receipt or without."""
    headers = {"Openstack-Auth-Receipt": receipt} if receipt is not None else {}
    body = {"auth": {"identity": identity}}
    return await cloud.client.call("POST", "/identity/v3/auth/tokens", body, token=None, headers=headers)


async def demand(cloud: Cloud, user: Any, rules: list[list[str]], *, enabled: bool | None = None) -> None:
    """Let the user need several methods."""
    options = {"multi_factor_auth_rules": rules, "multi_factor_auth_enabled": enabled}
    assert (await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"options": options}})).status == 200


def by_password(user: Any, password: str = PASSWORD) -> dict[str, Any]:
    return {"methods": ["password"], "password": {"user": {"id": user["id"], "password": password}}}


async def by_credential(cloud: Cloud, user: Any, token: str) -> dict[str, Any]:
    asked = {"application_credential": {"name": "c"}}
    made = await cloud.call("POST", f"/users/{user['id']}/application_credentials", asked, token=token)
    credential = made.body["application_credential"]
    shown = {"id": credential["id"], "secret": credential["secret"]}
    return {"methods": ["application_credential"], "application_credential": shown}


async def test_a_part_of_the_methods_earns_a_receipt_and_all_of_them_a_token(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    credential = await by_credential(cloud, user, token)
    await demand(cloud, user, RULES)
    first = await show(cloud, by_password(user))
    assert first.status == 401
    assert "X-Subject-Token" not in first.headers
    receipt = first.headers["Openstack-Auth-Receipt"]
    assert first.body["required_auth_methods"] == RULES
    shown = first.body["receipt"]
    assert shown["methods"] == ["password"]
    assert shown["user"] == {"id": user["id"], "name": user["name"], "domain": {"id": "default", "name": "Default"}}
    assert shown["issued_at"] < shown["expires_at"]
    second = await show(cloud, credential, receipt)
    assert second.status == 201
    assert set(second.body["token"]["methods"]) == {"password", "application_credential"}
    assert second.body["token"]["project"]["id"] == project["id"]


async def test_all_methods_at_once_need_no_receipt(cloud: Cloud) -> None:
    user, _, token = await cloud.member()
    credential = await by_credential(cloud, user, token)
    await demand(cloud, user, RULES)
    both = {**by_password(user), **credential, "methods": ["password", "application_credential"]}
    assert (await show(cloud, both)).status == 201
    assert (await show(cloud, {**both, "password": by_password(user, "wrong")["password"]})).status == 401


async def test_one_of_several_rules_suffices_and_unknown_methods_do_not_count(cloud: Cloud) -> None:
    user = await cloud.made("user", password=PASSWORD)
    await demand(cloud, user, [["retina"], ["token", "palm"]])
    refused = await show(cloud, by_password(user))
    assert refused.status == 401
    assert refused.body["required_auth_methods"] == []
    await demand(cloud, user, [["token"], ["password", "retina"]])
    assert (await show(cloud, by_password(user))).status == 201
    await demand(cloud, user, [["retina"]])
    assert (await show(cloud, by_password(user))).status == 201


async def test_rules_that_are_switched_off_demand_nothing(cloud: Cloud) -> None:
    user = await cloud.made("user", password=PASSWORD)
    await demand(cloud, user, RULES, enabled=False)
    assert (await show(cloud, by_password(user))).status == 201
    await demand(cloud, user, RULES, enabled=True)
    assert (await show(cloud, by_password(user))).status == 401


async def test_a_token_that_was_made_by_all_methods_can_be_scoped_again(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    await demand(cloud, user, [["password", "token"]])
    again = await cloud.again(token, {"project": {"id": project["id"]}})
    assert again.status == 201
    await demand(cloud, user, [["password", "totp"]])
    refused = await cloud.again(token)
    assert refused.status == 401
    assert "Openstack-Auth-Receipt" not in refused.headers


async def test_what_a_delegation_limits_goes_into_no_receipt(cloud: Cloud) -> None:
    """Security class 8: on the way through a receipt the limits would be lost."""
    user, _, token = await cloud.member()
    credential = await by_credential(cloud, user, token)
    await demand(cloud, user, RULES)
    answer = await show(cloud, credential)
    assert answer.status == 401
    assert "Openstack-Auth-Receipt" not in answer.headers


async def test_who_came_by_an_identity_provider_goes_into_no_receipt(cloud: Cloud) -> None:
    user = await cloud.made("user", password=PASSWORD)
    proven = await cloud.identity.login.prove(by_password(user))
    await demand(cloud, user, RULES)
    row = await cloud.identity.store.fetchrow(LOGIN_BY_ID, user["id"])
    proven.user = row
    with pytest.raises(MoreNeeded):
        cloud.identity.login._demand_factors(proven)
    proven.federation = ("provider", "openid")
    with pytest.raises(Unauthorized) as refused:
        cloud.identity.login._demand_factors(proven)
    assert not isinstance(refused.value, MoreNeeded)


async def test_a_receipt_is_good_for_its_user_for_minutes_and_on_any_gateway(cloud: Cloud, store: Store) -> None:
    user, _, token = await cloud.member()
    credential = await by_credential(cloud, user, token)
    other, _, others = await cloud.member()
    foreign = await by_credential(cloud, other, others)
    await demand(cloud, user, RULES)
    await demand(cloud, other, RULES)
    receipt = (await show(cloud, by_password(user))).headers["Openstack-Auth-Receipt"]
    assert (await show(cloud, foreign, receipt)).status == 401
    assert (await show(cloud, credential, receipt[:-2] + "AA")).status == 401
    assert (await show(cloud, credential, "nonsense")).status == 401
    elsewhere = Identity(store, Tokens(cloud.identity.tokens.keys), cloud.identity.passwords)
    proven = await elsewhere.login.prove(credential, receipt)
    assert set(proven.methods) == {"password", "application_credential"}
    with later(seconds=301):
        assert (await show(cloud, credential, receipt)).status == 401


async def test_a_receipt_dies_with_what_revokes_its_users_tokens(cloud: Cloud, store: Store) -> None:
    """Security class 7: on a gateway, too, that has heard nothing of it yet."""
    user, _, token = await cloud.member()
    credential = await by_credential(cloud, user, token)
    await demand(cloud, user, RULES)
    receipt = (await show(cloud, by_password(user))).headers["Openstack-Auth-Receipt"]
    elsewhere = Identity(store, Tokens(cloud.identity.tokens.keys), cloud.identity.passwords)
    await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"password": "another"}})
    assert (await show(cloud, credential, receipt)).status == 401
    with pytest.raises(Unauthorized):
        await elsewhere.login.prove(credential, receipt)


async def test_a_receipt_is_no_token_and_a_token_no_receipt(cloud: Cloud) -> None:
    """Security class 9."""
    user, _, token = await cloud.member()
    credential = await by_credential(cloud, user, token)
    await demand(cloud, user, RULES)
    receipt = (await show(cloud, by_password(user))).headers["Openstack-Auth-Receipt"]
    for text in (receipt, receipt.replace("rcp1.", "sky1.")):
        assert (await cloud.client.call("GET", "/identity/v3/auth/projects", token=text)).status == 401
    for text in (token, token.replace("sky1.", "rcp1.")):
        assert (await show(cloud, credential, text)).status == 401

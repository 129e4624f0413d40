"""Security class 8 beside class 7: what others did with somebody's rights ends with what it rested on, on every gateway
within a second."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import pytest
import pytest_asyncio
from oauthlib.oauth1 import Client
from token_death import MODES, Case, Prepare, hold
from two_gateways import Person, World, two_gateways

from skybus.ids import new_hex_id

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- application credentials


async def _credential(world: World, token: str, user: str) -> tuple[str, list[str]]:
    """The path of a new application credential, and a line of tokens by it."""
    path = f"/users/{user}/application_credentials"
    body = {"application_credential": {"name": new_hex_id()}}
    made = (await world.done("POST", path, body, token))["application_credential"]
    shown = {"application_credential": {"id": made["id"], "secret": made["secret"]}}
    first = await world.token(shown, None)
    return f"{path}/{made['id']}", [first, await world.token({"token": {"id": first}}, None)]


async def application_credential_deleted(world: World) -> Case:
    one = await world.person()
    spared = await world.lines(one)
    path, doomed = await _credential(world, spared[0], one.user)
    return Case(doomed, lambda: world.done("DELETE", path, token=spared[0]), spared)


async def owner_of_an_application_credential_disabled(world: World) -> Case:
    one = await world.person()
    _, doomed = await _credential(world, await world.by_password(one.user, {"project": {"id": one.project}}), one.user)
    change = {"user": {"enabled": False}}
    return Case(doomed, lambda: world.done("PATCH", f"/users/{one.user}", change))


async def owner_of_an_application_credential_loses_the_role(world: World) -> Case:
    one = await world.person()
    _, doomed = await _credential(world, await world.by_password(one.user, {"project": {"id": one.project}}), one.user)
    path = f"/projects/{one.project}/users/{one.user}/roles/{one.role}"
    return Case(doomed, lambda: world.done("DELETE", path))


# --- trusts


class Trust:
    """What one user trusts another with: its path, a line of tokens by it, and both users."""

    def __init__(self, path: str, tokens: list[str], trustor: Person, trustee: Person) -> None:
        self.path, self.tokens, self.trustor, self.trustee = path, tokens, trustor, trustee


async def _trusted(world: World, trustee: Person, **asked: Any) -> Trust:
    trustor = await world.person()
    token = await world.by_password(trustor.user, {"project": {"id": trustor.project}})
    body = {"trustor_user_id": trustor.user, "trustee_user_id": trustee.user, "project_id": trustor.project}
    body |= {"roles": [{"id": trustor.role}], "impersonation": False, **asked}
    made = (await world.done("POST", "/OS-TRUST/trusts", {"trust": body}, token))["trust"]
    tokens = [await world.by_password(trustee.user, {"OS-TRUST:trust": {"id": made["id"]}})]
    return Trust(f"/OS-TRUST/trusts/{made['id']}", tokens, trustor, trustee)


async def trust_deleted(world: World) -> Case:
    trustee = await world.person()
    trust, other = await _trusted(world, trustee), await _trusted(world, trustee, impersonation=True)
    token = await world.by_password(trust.trustor.user, {"project": {"id": trust.trustor.project}})
    return Case(trust.tokens, lambda: world.done("DELETE", trust.path, token=token), [*other.tokens, token])


async def impersonating_trust_deleted(world: World) -> Case:
    trust = await _trusted(world, await world.person(), impersonation=True)
    spared = await world.lines(trust.trustor)
    return Case(trust.tokens, lambda: world.done("DELETE", trust.path, token=spared[0]), spared)


async def trustor_disabled(world: World) -> Case:
    trust = await _trusted(world, await world.person())
    change = {"user": {"enabled": False}}
    spared = await world.lines(trust.trustee)
    return Case(trust.tokens, lambda: world.done("PATCH", f"/users/{trust.trustor.user}", change), spared)


async def trustee_disabled(world: World) -> Case:
    trust = await _trusted(world, await world.person(), impersonation=True)
    change = {"user": {"enabled": False}}
    spared = await world.lines(trust.trustor)
    return Case(trust.tokens, lambda: world.done("PATCH", f"/users/{trust.trustee.user}", change), spared)


async def trustor_loses_the_role(world: World) -> Case:
    trust = await _trusted(world, await world.person())
    path = f"/projects/{trust.trustor.project}/users/{trust.trustor.user}/roles/{trust.trustor.role}"
    return Case(trust.tokens, lambda: world.done("DELETE", path), await world.lines(trust.trustee))


async def project_of_a_trust_disabled(world: World) -> Case:
    trust = await _trusted(world, await world.person())
    change = {"project": {"enabled": False}}
    return Case(trust.tokens, lambda: world.done("PATCH", f"/projects/{trust.trustor.project}", change))


async def trust_that_was_passed_on_deleted_at_its_root(world: World) -> Case:
    middle, last = await world.person(), await world.person()
    root = await _trusted(world, middle, allow_redelegation=True, redelegation_count=1, impersonation=True)
    body = {"trustor_user_id": root.trustor.user, "trustee_user_id": last.user, "project_id": root.trustor.project}
    body |= {"roles": [{"id": root.trustor.role}], "impersonation": True}
    made = (await world.done("POST", "/OS-TRUST/trusts", {"trust": body}, root.tokens[0]))["trust"]
    doomed = [await world.by_password(last.user, {"OS-TRUST:trust": {"id": made["id"]}}), *root.tokens]
    token = await world.by_password(root.trustor.user, {"project": {"id": root.trustor.project}})
    return Case(doomed, lambda: world.done("DELETE", root.path, token=token), [token, *await world.lines(last)])


# --- OAuth


class Accessed:
    """A consumer that acts for a user by an access token: both their paths, and a token."""

    def __init__(self, consumer: str, access: str, token: str, owner: Person) -> None:
        self.consumer, self.access, self.token, self.owner = consumer, access, token, owner


async def _signed(world: World, what: str, consumer: Any, given: dict[str, str], body: Any = None) -> Any:
    """An answer to what a consumer signs."""
    url = f"{world.here.config.gateway.url}/identity/v3{what}"
    client = Client(
        consumer["id"], client_secret=consumer["secret"], verifier=given.get("verifier"),
        resource_owner_key=given.get("oauth_token"), resource_owner_secret=given.get("oauth_token_secret"),
    )  # fmt: skip
    _, headers, _ = client.sign(url, http_method="POST")
    more = {"Requested-Project-Id": given["project"]} if "project" in given else {}
    async with world.http.post(url, json=body, headers={**headers, **more}) as response:
        text = await response.text()
        assert response.status == 201, text
        said = {name: values[0] for name, values in parse_qs(text).items()}
        return {**said, "subject": response.headers.get("X-Subject-Token", "")}


async def _accessed(world: World) -> Accessed:
    owner = await world.person(role=world.roles["admin"])
    token = await world.by_password(owner.user, {"project": {"id": owner.project}})
    consumer = (await world.done("POST", "/OS-OAUTH1/consumers", {"consumer": {}}))["consumer"]
    asked = await _signed(world, "/OS-OAUTH1/request_token", consumer, {"project": owner.project})
    path = f"/OS-OAUTH1/authorize/{asked['oauth_token']}"
    said = await world.done("PUT", path, {"roles": [{"id": world.roles["admin"]}]}, token)
    asked["verifier"] = said["token"]["oauth_verifier"]
    access = await _signed(world, "/OS-OAUTH1/access_token", consumer, asked)
    body = {"auth": {"identity": {"methods": ["oauth1"], "oauth1": {}}}}
    subject = (await _signed(world, "/auth/tokens", consumer, access, body))["subject"]
    own = f"/users/{owner.user}/OS-OAUTH1/access_tokens/{access['oauth_token']}"
    return Accessed(f"/OS-OAUTH1/consumers/{consumer['id']}", own, subject, owner)


async def access_token_deleted(world: World) -> Case:
    one = await _accessed(world)
    spared = await world.lines(one.owner)
    return Case([one.token], lambda: world.done("DELETE", one.access, token=spared[0]), spared)


async def consumer_deleted(world: World) -> Case:
    one = await _accessed(world)
    return Case([one.token], lambda: world.done("DELETE", one.consumer), await world.lines(one.owner))


async def owner_of_an_access_token_loses_the_role(world: World) -> Case:
    one = await _accessed(world)
    path = f"/projects/{one.owner.project}/users/{one.owner.user}/roles/{one.owner.role}"
    return Case([one.token], lambda: world.done("DELETE", path))


CASES: list[Prepare] = [
    application_credential_deleted,
    owner_of_an_application_credential_disabled,
    owner_of_an_application_credential_loses_the_role,
    trust_deleted,
    impersonating_trust_deleted,
    trustor_disabled,
    trustee_disabled,
    trustor_loses_the_role,
    project_of_a_trust_disabled,
    trust_that_was_passed_on_deleted_at_its_root,
    access_token_deleted,
    consumer_deleted,
    owner_of_an_access_token_loses_the_role,
]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=MODES, ids=lambda how: how.__name__)
async def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Two gateways, with all that keeps them informed or a part of it."""
    async with two_gateways(tmp_path_factory.mktemp("gateways")) as made:
        await request.param(made)
        yield made


@pytest.mark.parametrize("prepare", CASES, ids=lambda case: case.__name__)
async def test_what_others_hold_by_a_right_dies_with_it(world: World, prepare: Prepare) -> None:
    await hold(world, prepare)

"""Access rules of application credentials: made, shared, shown, deleted, and enforced by the gateway for all."""

from __future__ import annotations

from typing import Any

import pytest
from identity_cloud import PASSWORD, Cloud

from skybus.http import bodies
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, PUBLIC, Api, Route
from skybus.identity import RULES, api
from skybus.identity.delegation.access_rules import AccessRules
from support.front import Answer, front

LISTS = {"service": "compute", "method": "GET", "path": "/v2.1/servers"}


class Program:
    """A user with an application credential that has access rules."""

    def __init__(self, cloud: Cloud, user: Any, token: str, credential: Any) -> None:
        self.cloud, self.user, self.token, self.credential = cloud, user, token, credential
        self.path = f"/users/{user['id']}"

    @classmethod
    async def made(cls, cloud: Cloud, *rules: Any, **asked: Any) -> Program:
        user, _, token = await cloud.member()
        answer = await credential_of(cloud, user, token, *rules, **asked)
        assert answer.status == 201, answer
        return cls(cloud, user, token, answer.body["application_credential"])

    async def login(self) -> Answer:
        shown = {"id": self.credential["id"], "secret": self.credential["secret"]}
        return await self.cloud.auth({"methods": ["application_credential"], "application_credential": shown})

    async def own_token(self) -> str:
        answer = await self.login()
        assert answer.status == 201, answer
        return answer.headers["X-Subject-Token"]


async def credential_of(cloud: Cloud, user: Any, token: str, *rules: Any, **asked: Any) -> Answer:
    asked.setdefault("name", "program")
    body = {"application_credential": {**asked, "access_rules": list(rules)}}
    return await cloud.call("POST", f"/users/{user['id']}/application_credentials", body, token)


async def test_rules_are_shown_with_their_credential_and_alone(cloud: Cloud) -> None:
    program = await Program.made(cloud, LISTS)
    rule = program.credential["access_rules"][0]
    assert {key: rule[key] for key in LISTS} == LISTS
    path = f"{program.path}/access_rules"
    listed = await cloud.call("GET", path, token=program.token)
    assert [one["id"] for one in listed.body["access_rules"]] == [rule["id"]]
    shown = await cloud.call("GET", f"{path}/{rule['id']}", token=program.token)
    assert shown.body["access_rule"]["links"]["self"].endswith(f"/v3/access_rules/{rule['id']}")
    assert (await cloud.call("GET", f"{path}/nothing", token=program.token)).status == 404
    for query, count in (("service=compute", 1), ("service=image", 0), ("method=GET", 1), ("path=/v2.1/flavors", 0)):
        assert len((await cloud.call("GET", f"{path}?{query}", token=program.token)).body["access_rules"]) == count
    shown = await cloud.call("GET", f"{program.path}/application_credentials/{program.credential['id']}")
    assert shown.body["application_credential"]["access_rules"] == [rule]
    assert (await program.login()).body["token"]["application_credential"]["access_rules"] == [rule]


async def test_a_rule_is_made_once_and_used_again_by_what_it_says_or_by_its_id(cloud: Cloud) -> None:
    program = await Program.made(cloud, LISTS, LISTS)
    rule_id = program.credential["access_rules"][0]["id"]
    for name, rule in (("second", LISTS), ("third", {"id": rule_id})):
        answer = await credential_of(cloud, program.user, program.token, rule, name=name)
        assert [one["id"] for one in answer.body["application_credential"]["access_rules"]] == [rule_id]
    stranger, _, token = await cloud.member()
    answer = await credential_of(cloud, stranger, token, {"id": rule_id})
    assert answer.status == 400


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"service": "compute"},
        {"service": "compute", "method": "GET"},
        {**LISTS, "method": "STEAL"},
        {**LISTS, "path": "v2.1/servers"},
        {**LISTS, "path": "/" + "a" * 300},
        {**LISTS, "more": 1},
    ],
)
async def test_a_rule_that_is_none_is_refused(cloud: Cloud, rule: dict[str, Any]) -> None:
    user, _, token = await cloud.member()
    assert (await credential_of(cloud, user, token, rule)).status == 400
    assert (await cloud.call("GET", f"/users/{user['id']}/access_rules", token=token)).body["access_rules"] == []


async def test_a_rule_cannot_be_deleted_while_a_credential_has_it(cloud: Cloud) -> None:
    program = await Program.made(cloud, LISTS)
    rule = f"{program.path}/access_rules/{program.credential['access_rules'][0]['id']}"
    stranger = (await cloud.member())[2]
    assert (await cloud.call("DELETE", rule, token=stranger)).status == 403
    assert (await cloud.call("DELETE", rule, token=program.token)).status == 403
    credential = f"{program.path}/application_credentials/{program.credential['id']}"
    assert (await cloud.call("DELETE", credential, token=program.token)).status == 204
    assert (await cloud.call("GET", rule, token=program.token)).status == 200
    assert (await cloud.call("DELETE", rule, token=program.token)).status == 204
    assert (await cloud.call("DELETE", rule, token=program.token)).status == 404


async def test_a_user_goes_with_its_rules_and_credentials(cloud: Cloud) -> None:
    program = await Program.made(cloud, LISTS)
    token = await program.own_token()
    assert (await cloud.call("DELETE", f"/users/{program.user['id']}")).status == 204
    assert (await cloud.call("GET", "/auth/projects", token=token)).status == 401
    assert (await program.login()).status == 401


async def test_a_token_makes_the_requests_that_its_rules_name_and_no_others(cloud: Cloud) -> None:
    rules = [
        {"service": "identity", "method": "GET", "path": "/v3/auth/projects"},
        {"service": "identity", "method": "GET", "path": "/v3/users/*/application_credentials"},
    ]
    program = await Program.made(cloud, *rules)
    token = await program.own_token()
    assert (await cloud.call("GET", "/auth/projects", token=token)).status == 200
    assert (await cloud.call("GET", "//auth//projects/", token=token)).status == 200
    own = f"/users/{program.user['id']}/application_credentials"
    assert (await cloud.call("GET", own, token=token)).status == 200
    assert (await cloud.call("HEAD", "/auth/projects", token=token)).status == 401
    assert (await cloud.call("GET", f"{own}/{program.credential['id']}", token=token)).status == 401
    assert (await cloud.call("GET", "/auth/catalog", token=token)).status == 401
    assert (await cloud.call("GET", "/auth/catalog", token=program.token)).status == 200


async def test_a_token_that_its_rules_limit_can_be_looked_at_and_stays_limited(cloud: Cloud) -> None:
    program = await Program.made(cloud, LISTS)
    token = await program.own_token()
    headers = {"X-Subject-Token": token, "OpenStack-Identity-Access-Rules": "1.0"}
    assert (await cloud.call("GET", "/auth/tokens", token=token, headers=headers)).status == 200
    again = await cloud.again(token)
    assert again.status == 201
    assert (await cloud.call("GET", "/auth/projects", token=again.headers["X-Subject-Token"])).status == 401


async def test_services_that_know_nothing_of_access_rules_do_not_learn_that_a_token_is_good(cloud: Cloud) -> None:
    token = await (await Program.made(cloud, LISTS)).own_token()
    headers = {"X-Subject-Token": token}
    assert (await cloud.call("GET", "/auth/tokens", headers=headers)).status == 404
    headers["OpenStack-Identity-Access-Rules"] = "1.0"
    assert (await cloud.call("GET", "/auth/tokens", headers=headers)).status == 200


async def test_an_unrestricted_credential_with_rules_makes_no_other_that_has_none(cloud: Cloud) -> None:
    everything = [{"service": "identity", "method": method, "path": "/**"} for method in ("GET", "POST", "DELETE")]
    program = await Program.made(cloud, *everything, unrestricted=True)
    token = await program.own_token()
    assert (await credential_of(cloud, program.user, token, name="another")).status == 403
    assert (await credential_of(cloud, program.user, token, LISTS, name="another")).status == 403


async def _yes(call: Call) -> Reply:
    return Reply({"yes": call.request.path})


def _service(prefix: str, path: str) -> Api:
    """A service behind the same gateway."""
    routes = [
        Route(method=method, path=path, handler=_yes, policy="identity:any_caller", body=NO_BODY)
        for method in ("GET", "POST")
    ]
    routes.append(Route(method="GET", path="", handler=_yes, policy=PUBLIC, body=NO_BODY))
    return Api(name=prefix[1:], prefix=prefix, routes=routes, error_body=bodies.compute)


class _Counted:
    """The store, with its reads counted."""

    def __init__(self, store: Any) -> None:
        self.store, self.reads = store, 0

    async def fetch(self, *args: Any) -> Any:
        self.reads += 1
        return await self.store.fetch(*args)


async def test_rules_hold_for_every_service_and_cost_one_read_a_process(cloud: Cloud) -> None:
    rules = [LISTS, {"service": "volumev3", "method": "POST", "path": "/v3/{project}/volumes"}]
    token = await (await Program.made(cloud, *rules)).own_token()
    counted = _Counted(cloud.identity.store)
    services = {"store": cloud.identity.store, **cloud.identity.services(), "access_rules": AccessRules(counted)}  # type: ignore[arg-type]
    apis = [api(), _service("/compute", "/v2.1/servers"), _service("/volume", "/v3/{project}/volumes")]
    authenticate = cloud.identity.tokens.authenticate
    async with front(apis, RULES, services, authenticate=authenticate) as client:
        for _ in range(3):
            assert (await client.call("GET", "/compute/v2.1/servers", token=token)).status == 200
            assert (await client.call("POST", "/compute/v2.1/servers", token=token)).status == 401
            assert (await client.call("POST", "/volume/v3/p/volumes", token=token)).status == 200
            assert (await client.call("GET", "/volume/v3/p/volumes", token=token)).status == 401
            # A route that needs no token is open to whoever shows one that does not reach so far.
            assert (await client.call("GET", "/compute", token=token)).status == 200
    assert counted.reads == 1


async def test_rules_are_their_users_and_not_for_tokens_in_other_hands(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    trustee = await cloud.made("user", password=PASSWORD)
    trust = {
        "trustor_user_id": user["id"],
        "trustee_user_id": trustee["id"],
        "project_id": project["id"],
        "impersonation": True,
        "roles": [{"name": "member"}],
    }
    made = await cloud.call("POST", "/OS-TRUST/trusts", {"trust": trust}, token)
    scope = {"OS-TRUST:trust": {"id": made.body["trust"]["id"]}}
    trusted = await cloud.token(trustee["id"], scope=scope)
    for path in ("access_rules", "application_credentials"):
        assert (await cloud.call("GET", f"/users/{user['id']}/{path}", token=trusted)).status == 403

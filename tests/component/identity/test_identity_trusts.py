"""Trusts: who can make them, what their tokens are good for, how they are passed on, and that they end with everybody
in the line."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from identity_cloud import PASSWORD, Cloud

from skybus import clock
from skybus.identity.delegation import trusts
from support.front import Answer

TRUSTS = "/OS-TRUST/trusts"


async def trustee_of(cloud: Cloud) -> Any:
    """A user without any role."""
    return await cloud.made("user", password=PASSWORD)


async def asked_trust(cloud: Cloud, token: str, **asked: Any) -> Answer:
    """`POST /OS-TRUST/trusts`."""
    asked.setdefault("impersonation", False)
    return await cloud.call("POST", TRUSTS, {"trust": asked}, token)


class Line:
    """A trustor with a role on a project, a trustee, and a trust between them."""

    def __init__(self, cloud: Cloud, user: Any, project: Any, token: str, trustee: Any, trust: Any) -> None:
        self.cloud, self.user, self.project, self.token = cloud, user, project, token
        self.trustee, self.trust = trustee, trust

    @classmethod
    async def made(cls, cloud: Cloud, role: str = "member", **asked: Any) -> Line:
        user, project, token = await cloud.member(role)
        trustee = await trustee_of(cloud)
        asked.setdefault("roles", [{"name": role}])
        people = {"trustor_user_id": user["id"], "trustee_user_id": trustee["id"], "project_id": project["id"]}
        answer = await asked_trust(cloud, token, **people, **asked)
        assert answer.status == 201, answer
        return cls(cloud, user, project, token, trustee, answer.body["trust"])

    async def use(self, trust: Any = None, trustee: Any = None) -> Answer:
        """Log in as the trustee, with the trust as scope."""
        trust, trustee = trust or self.trust, trustee or self.trustee
        return await self.cloud.password(trustee["id"], scope={"OS-TRUST:trust": {"id": trust["id"]}})

    async def token_of(self, trust: Any = None, trustee: Any = None) -> str:
        answer = await self.use(trust, trustee)
        assert answer.status == 201, answer
        return answer.headers["X-Subject-Token"]

    async def passed_on(self, **asked: Any) -> tuple[Any, Any]:
        """(the next trustee, the trust that it got from this line's trustee)."""
        token, following = await self.token_of(), await trustee_of(self.cloud)
        who = self.user if self.trust["impersonation"] else self.trustee
        asked.setdefault("roles", [{"id": role["id"]} for role in self.trust["roles"]])
        asked.setdefault("impersonation", self.trust["impersonation"])
        people = {"trustor_user_id": who["id"], "trustee_user_id": following["id"], "project_id": self.project["id"]}
        answer = await asked_trust(self.cloud, token, **people, **asked)
        assert answer.status == 201, answer
        return following, answer.body["trust"]


async def test_a_trust_shows_what_was_agreed(cloud: Cloud) -> None:
    line = await Line.made(cloud, impersonation=True)
    trust = line.trust
    assert (trust["impersonation"], trust["remaining_uses"], trust["redelegation_count"]) == (True, None, 0)
    assert (trust["expires_at"], trust["deleted_at"], trust["redelegated_trust_id"]) == (None, None, None)
    assert [role["name"] for role in trust["roles"]] == ["member"]
    assert trust["roles"][0]["links"]["self"].endswith(f"/v3/roles/{cloud.roles['member']}")
    shown = await cloud.call("GET", f"{TRUSTS}/{trust['id']}", token=line.token)
    assert shown.body["trust"] == trust
    listed = await cloud.call("GET", f"{TRUSTS}?trustor_user_id={line.user['id']}", token=line.token)
    assert [one["id"] for one in listed.body["trusts"]] == [trust["id"]]
    assert "roles" not in listed.body["trusts"][0]
    everything = await cloud.call("GET", TRUSTS)
    assert trust["id"] in [one["id"] for one in everything.body["trusts"]]


async def test_the_roles_of_a_trust_have_routes_of_their_own(cloud: Cloud) -> None:
    line = await Line.made(cloud)
    path = f"{TRUSTS}/{line.trust['id']}/roles"
    listed = await cloud.call("GET", path, token=line.token)
    assert [role["name"] for role in listed.body["roles"]] == ["member"]
    member, admin = (f"{path}/{cloud.roles[name]}" for name in ("member", "admin"))
    assert (await cloud.call("GET", member, token=line.token)).body["role"]["name"] == "member"
    assert (await cloud.call("HEAD", member, token=line.token)).status == 200
    assert (await cloud.call("GET", admin, token=line.token)).status == 404
    assert (await cloud.call("HEAD", admin, token=line.token)).status == 404


@pytest.mark.parametrize("impersonation", [True, False])
async def test_a_trusts_token_names_the_trustor_only_with_impersonation(cloud: Cloud, impersonation: bool) -> None:
    line = await Line.made(cloud, impersonation=impersonation)
    answer = await line.use()
    token = answer.body["token"]
    speaker = line.user if impersonation else line.trustee
    assert token["user"]["id"] == speaker["id"]
    assert token["project"]["id"] == line.project["id"]
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}
    assert token["OS-TRUST:trust"] == {
        "id": line.trust["id"],
        "trustor_user": {"id": line.user["id"]},
        "trustee_user": {"id": line.trustee["id"]},
        "impersonation": impersonation,
    }
    own = answer.headers["X-Subject-Token"]
    validated = await cloud.call("GET", "/auth/tokens", headers={"X-Subject-Token": own})
    assert validated.body["token"]["OS-TRUST:trust"]["id"] == line.trust["id"]


async def test_nobody_but_the_trustor_makes_a_trust_and_only_of_roles_that_it_has(cloud: Cloud) -> None:
    user, project, token = await cloud.member("reader")
    trustee = await trustee_of(cloud)
    people = {"trustor_user_id": user["id"], "trustee_user_id": trustee["id"], "project_id": project["id"]}
    reader = [{"name": "reader"}]
    assert (await asked_trust(cloud, token, **people, roles=[{"name": "member"}])).status == 404
    assert (await asked_trust(cloud, token, **people, roles=[{"id": cloud.roles["admin"]}])).status == 404
    assert (await asked_trust(cloud, token, **people, roles=[])).status == 403
    assert (await asked_trust(cloud, token, **people)).status == 403
    assert (await asked_trust(cloud, cloud.admin_token, **people, roles=reader)).status == 403
    nobody = {**people, "trustee_user_id": "nobody"}
    assert (await asked_trust(cloud, token, **nobody, roles=reader)).status == 404
    elsewhere = {**people, "project_id": cloud.project_id}
    assert (await asked_trust(cloud, token, **elsewhere, roles=reader)).status == 404
    domain = {**people, "project_id": "default"}
    assert (await asked_trust(cloud, token, **domain, roles=reader)).status == 404


@pytest.mark.parametrize("moment", ["bad.123Z", "2001-01-01T00:00:00Z"])
async def test_a_trust_ends_in_the_future(cloud: Cloud, moment: str) -> None:
    user, project, token = await cloud.member()
    people = {"trustor_user_id": user["id"], "trustee_user_id": cloud.admin_id, "project_id": project["id"]}
    answer = await asked_trust(cloud, token, **people, roles=[{"name": "member"}], expires_at=moment)
    assert answer.status == 400, answer


async def test_strangers_learn_nothing_of_a_trust_and_cannot_use_or_delete_it(cloud: Cloud) -> None:
    line = await Line.made(cloud)
    stranger, _, token = await cloud.member()
    path = f"{TRUSTS}/{line.trust['id']}"
    for method, where in (("GET", path), ("DELETE", path), ("GET", f"{path}/roles")):
        assert (await cloud.call(method, where, token=token)).status == 403
    for query in ("", f"?trustor_user_id={line.user['id']}", f"?trustee_user_id={line.trustee['id']}"):
        assert (await cloud.call("GET", TRUSTS + query, token=token)).status == 403
    assert (await line.use(trustee=stranger)).status == 403
    assert (await cloud.call("GET", f"{TRUSTS}/nothing", token=token)).status == 404


async def test_the_trustee_sees_a_trust_but_cannot_delete_it(cloud: Cloud) -> None:
    line = await Line.made(cloud)
    token = await line.token_of()
    path = f"{TRUSTS}/{line.trust['id']}"
    assert (await cloud.call("GET", path, token=token)).status == 200
    assert (await cloud.call("GET", f"{TRUSTS}?trustee_user_id={line.trustee['id']}", token=token)).status == 200
    assert (await cloud.call("DELETE", path, token=token)).status == 403


async def test_a_trusts_token_makes_neither_tokens_nor_credentials_nor_trusts(cloud: Cloud) -> None:
    line = await Line.made(cloud, impersonation=True)
    token = await line.token_of()
    assert (await cloud.again(token)).status == 403
    assert (await cloud.again(token, {"project": {"id": line.project["id"]}})).status == 403
    assert (await cloud.again(token, {"OS-TRUST:trust": {"id": line.trust["id"]}})).status == 403
    path = f"/users/{line.user['id']}/application_credentials"
    assert (await cloud.call("POST", path, {"application_credential": {"name": "c"}}, token)).status == 403
    people = {"trustor_user_id": line.user["id"], "trustee_user_id": cloud.admin_id, "project_id": line.project["id"]}
    assert (await asked_trust(cloud, token, **people, roles=[{"name": "member"}])).status == 403


async def test_uses_are_counted_and_many_at_once_get_no_more_than_there_are(cloud: Cloud) -> None:
    line = await Line.made(cloud, remaining_uses=3)
    answers = await asyncio.gather(*(line.use() for _ in range(8)))
    assert sorted(answer.status for answer in answers)[:3] == [201, 201, 201]
    assert {answer.status for answer in answers} <= {201, 401, 403}
    assert [answer.status for answer in answers].count(201) == 3
    assert (await line.use()).status == 401
    assert (await cloud.call("GET", f"{TRUSTS}/{line.trust['id']}", token=line.token)).status == 404
    for answer in answers:
        if answer.status == 201:
            assert await cloud.works(answer.headers["X-Subject-Token"])


async def test_remaining_uses_is_a_positive_number_and_excludes_passing_on(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    people = {"trustor_user_id": user["id"], "trustee_user_id": cloud.admin_id, "project_id": project["id"]}
    roles = [{"name": "member"}]
    for uses in (0, -1, 1.5, "2", True):
        assert (await asked_trust(cloud, token, **people, roles=roles, remaining_uses=uses)).status == 400, uses
    both = {"remaining_uses": 2, "allow_redelegation": True}
    assert (await asked_trust(cloud, token, **people, roles=roles, **both)).status == 400


async def test_a_token_ends_with_its_trust(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    end = clock.now().replace(microsecond=0) + timedelta(minutes=5)
    line = await Line.made(cloud, expires_at=end.isoformat().replace("+00:00", "Z"))
    answer = await line.use()
    assert answer.body["token"]["expires_at"] == end.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    monkeypatch.setattr(clock, "now", lambda: end + timedelta(seconds=1))
    assert not await cloud.works(answer.headers["X-Subject-Token"])
    assert (await line.use()).status == 401
    # Who made it can still clear it away.
    again = await cloud.token(line.user["id"], line.project["id"])
    path = f"{TRUSTS}/{line.trust['id']}"
    assert (await cloud.call("GET", path, token=again)).status == 404
    assert (await cloud.call("DELETE", path, token=again)).status == 204


@pytest.mark.parametrize("impersonation", [True, False])
async def test_a_trust_that_may_be_passed_on_is_with_one_less_to_go(cloud: Cloud, impersonation: bool) -> None:
    line = await Line.made(cloud, impersonation=impersonation, allow_redelegation=True)
    assert line.trust["redelegation_count"] == 3
    following, trust = await line.passed_on(allow_redelegation=True)
    assert (trust["redelegation_count"], trust["redelegated_trust_id"]) == (2, line.trust["id"])
    answer = await line.use(trust, following)
    speaker = line.user if impersonation else following
    assert answer.body["token"]["user"]["id"] == speaker["id"]
    assert {role["name"] for role in answer.body["token"]["roles"]} == {"member", "reader"}


async def test_a_line_of_trusts_comes_to_its_end(cloud: Cloud) -> None:
    line = await Line.made(cloud, impersonation=True, allow_redelegation=True, redelegation_count=1)
    assert line.trust["redelegation_count"] == 1
    following, trust = await line.passed_on(allow_redelegation=True)
    assert trust["redelegation_count"] == 0
    token = await line.token_of(trust, following)
    people = {"trustor_user_id": line.user["id"], "trustee_user_id": cloud.admin_id, "project_id": line.project["id"]}
    answer = await asked_trust(cloud, token, **people, roles=[{"name": "member"}], impersonation=True)
    assert answer.status == 403


@pytest.mark.parametrize(
    "more",
    [
        {"roles": [{"name": "admin"}]},
        {"roles": [{"name": "reader"}]},
        {"remaining_uses": 1},
        {"impersonation": True},
        {"allow_redelegation": True, "redelegation_count": 7},
        {"expires_at": "2999-01-01T00:00:00Z"},
        {"project_id": None, "roles": []},
    ],
)
async def test_a_trust_is_passed_on_with_nothing_more_than_it_has(cloud: Cloud, more: dict[str, Any]) -> None:
    end = (clock.now() + timedelta(hours=2)).isoformat().replace("+00:00", "Z")
    roles = [{"name": "member"}]
    line = await Line.made(cloud, role="member", roles=roles, expires_at=end, allow_redelegation=True)
    # The trustor has more than it gave.
    where = f"/projects/{line.project['id']}/users/{line.user['id']}/roles/{cloud.roles['admin']}"
    assert (await cloud.call("PUT", where)).status == 204
    token = await line.token_of()
    people = {
        "trustor_user_id": line.trustee["id"],
        "trustee_user_id": cloud.admin_id,
        "project_id": line.project["id"],
    }
    assert (await asked_trust(cloud, token, **{**people, "roles": roles, **more})).status == 403
    good = await asked_trust(cloud, token, **people, roles=roles)
    assert good.status == 201
    assert good.body["trust"]["expires_at"] == line.trust["expires_at"]


async def _delete_trust(line: Line) -> None:
    answer = await line.cloud.call("DELETE", f"{TRUSTS}/{line.trust['id']}", token=line.token)
    assert answer.status == 204


async def _delete_trustor(line: Line) -> None:
    assert (await line.cloud.call("DELETE", f"/users/{line.user['id']}")).status == 204


async def _delete_trustee(line: Line) -> None:
    assert (await line.cloud.call("DELETE", f"/users/{line.trustee['id']}")).status == 204


async def _disable_trustor(line: Line) -> None:
    body = {"user": {"enabled": False}}
    assert (await line.cloud.call("PATCH", f"/users/{line.user['id']}", body)).status == 200


async def _disable_trustee(line: Line) -> None:
    body = {"user": {"enabled": False}}
    assert (await line.cloud.call("PATCH", f"/users/{line.trustee['id']}", body)).status == 200


async def _take_role(line: Line) -> None:
    path = f"/projects/{line.project['id']}/users/{line.user['id']}/roles/{line.cloud.roles['member']}"
    assert (await line.cloud.call("DELETE", path)).status == 204


async def _delete_project(line: Line) -> None:
    assert (await line.cloud.call("DELETE", f"/projects/{line.project['id']}")).status == 204


async def _disable_project(line: Line) -> None:
    body = {"project": {"enabled": False}}
    assert (await line.cloud.call("PATCH", f"/projects/{line.project['id']}", body)).status == 200


@pytest.mark.parametrize("impersonation", [True, False])
@pytest.mark.parametrize(
    "end",
    [
        _delete_trust,
        _delete_trustor,
        _delete_trustee,
        _disable_trustor,
        _disable_trustee,
        _take_role,
        _delete_project,
        _disable_project,
    ],
)
async def test_whatever_ends_a_trust_ends_its_tokens_and_all_that_hangs_below_it(
    cloud: Cloud, end: Any, impersonation: bool
) -> None:
    line = await Line.made(cloud, impersonation=impersonation, allow_redelegation=True)
    following, trust = await line.passed_on()
    tokens = [await line.token_of(), await line.token_of(trust, following)]
    for token in tokens:
        assert await cloud.works(token)
    await end(line)
    for token in tokens:
        assert not await cloud.works(token)
    assert (await line.use()).status in (401, 403)
    assert (await line.use(trust, following)).status in (401, 403)


@pytest.mark.parametrize("impersonation", [True, False])
async def test_the_end_of_the_trustors_domain_ends_a_token_in_another_domain(cloud: Cloud, impersonation: bool) -> None:
    domain = await cloud.made("domain")
    project = await cloud.made("project")
    trustor = await cloud.made("user", password=PASSWORD, domain_id=domain["id"])
    trustee = await trustee_of(cloud)
    path = f"/projects/{project['id']}/users/{trustor['id']}/roles/{cloud.roles['member']}"
    assert (await cloud.call("PUT", path)).status == 204
    token = await cloud.token(trustor["id"], project["id"])
    people = {"trustor_user_id": trustor["id"], "trustee_user_id": trustee["id"], "project_id": project["id"]}
    roles = [{"name": "member"}]
    answer = await asked_trust(cloud, token, **people, roles=roles, impersonation=impersonation)
    line = Line(cloud, trustor, project, token, trustee, answer.body["trust"])
    used = await line.token_of()
    own = await cloud.token(trustee["id"])
    body = {"domain": {"enabled": False}}
    assert (await cloud.call("PATCH", f"/domains/{domain['id']}", body)).status == 200
    assert not await cloud.works(used)
    assert await cloud.works(own)
    assert (await line.use()).status in (401, 403)


async def test_nothing_grows_below_a_trust_while_it_is_being_deleted(cloud: Cloud) -> None:
    for _ in range(4):
        line = await Line.made(cloud, impersonation=True, allow_redelegation=True)
        token, following = await line.token_of(), await trustee_of(cloud)
        people = {
            "trustor_user_id": line.user["id"],
            "trustee_user_id": following["id"],
            "project_id": line.project["id"],
        }
        grown, deleted = await asyncio.gather(
            asked_trust(cloud, token, **people, roles=[{"name": "member"}], impersonation=True),
            cloud.call("DELETE", f"{TRUSTS}/{line.trust['id']}", token=line.token),
        )
        assert deleted.status == 204
        assert grown.status in (201, 401, 404), grown
        if grown.status == 201:
            assert (await line.use(grown.body["trust"], following)).status == 401
            path = f"{TRUSTS}/{grown.body['trust']['id']}"
            assert (await cloud.call("GET", path, token=line.token)).status == 404


@pytest.mark.parametrize("more", [{"note": "x" * 300}, {"note": {"deep": []}}])
async def test_what_is_kept_with_a_trust_is_bounded(cloud: Cloud, more: dict[str, Any]) -> None:
    user, project, token = await cloud.member()
    people = {"trustor_user_id": user["id"], "trustee_user_id": cloud.admin_id, "project_id": project["id"]}
    assert (await asked_trust(cloud, token, **people, roles=[{"name": "member"}], **more)).status == 400
    kept = await asked_trust(cloud, token, **people, roles=[{"name": "member"}], note="why")
    assert kept.body["trust"]["note"] == "why"


async def test_a_trustor_makes_a_bounded_number_of_trusts(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trusts, "MOST", 1)
    line = await Line.made(cloud)
    people = {"trustor_user_id": line.user["id"], "trustee_user_id": line.trustee["id"]}
    people["project_id"] = line.project["id"]
    assert (await asked_trust(cloud, line.token, **people, roles=[{"name": "member"}])).status == 403


async def test_a_trusts_token_takes_back_what_it_passed_on_and_no_other_trust_of_the_trustor(cloud: Cloud) -> None:
    line = await Line.made(cloud, impersonation=True, allow_redelegation=True)
    people = {"trustor_user_id": line.user["id"], "trustee_user_id": cloud.admin_id, "project_id": line.project["id"]}
    other = await asked_trust(cloud, line.token, **people, roles=[{"name": "member"}])
    _, below = await line.passed_on()
    token = await line.token_of()
    for trust, status in ((other.body["trust"], 403), (below, 204), (line.trust, 204)):
        assert (await cloud.call("DELETE", f"{TRUSTS}/{trust['id']}", token=token)).status == status
    assert not await cloud.works(token)
    assert (await cloud.call("DELETE", f"{TRUSTS}/{other.body['trust']['id']}", token=line.token)).status == 204


async def test_deleting_a_trust_leaves_the_one_above_it(cloud: Cloud) -> None:
    line = await Line.made(cloud, impersonation=True, allow_redelegation=True)
    following, trust = await line.passed_on()
    above, below = await line.token_of(), await line.token_of(trust, following)
    answer = await cloud.call("DELETE", f"{TRUSTS}/{trust['id']}", token=line.token)
    assert answer.status == 204
    assert await cloud.works(above)
    assert not await cloud.works(below)


async def test_a_trust_without_a_project_delegates_nothing(cloud: Cloud) -> None:
    user, _, token = await cloud.member()
    trustee = await trustee_of(cloud)
    people = {"trustor_user_id": user["id"], "trustee_user_id": trustee["id"]}
    answer = await asked_trust(cloud, token, **people, impersonation=True)
    assert (answer.status, answer.body["trust"]["roles"]) == (201, [])
    scope = {"OS-TRUST:trust": {"id": answer.body["trust"]["id"]}}
    assert (await cloud.password(trustee["id"], scope=scope)).status == 401
    assert (await asked_trust(cloud, token, **people, roles=[{"name": "member"}])).status == 404


@pytest.mark.parametrize("scope", [{}, {"id": ""}, {"id": None}, {"id": "nothing"}])
async def test_nonsense_for_a_trust_opens_nothing(cloud: Cloud, scope: dict[str, Any]) -> None:
    trustee = await trustee_of(cloud)
    answer = await cloud.password(trustee["id"], scope={"OS-TRUST:trust": scope})
    assert answer.status in (400, 401)

"""Security class 8: whatever is derived from whatever, in any order, never has more roles than it was derived from; no
delegation makes another one unless the rules say so; and all of it ends with the roles at its root."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from identity_cloud import PASSWORD, Cloud
from oauth_client import Consumer, form

from skybus.ids import new_hex_id
from support.front import Answer

BUILT_IN = ("admin", "member", "reader")


@dataclass(frozen=True)
class Held:
    """A token, and how its holder came by it."""

    kind: str
    token: str
    user_id: str
    roles: frozenset[str]
    open_to: frozenset[str] = field(default_factory=frozenset)
    """What the rules let it make."""


# What could go too far is drawn more often than what could not.
mostly, seldom = st.sampled_from((True, True, True, False)), st.sampled_from((True, False, False, False))
steps = st.one_of(
    st.fixed_dictionaries(
        {"do": st.just("trust"), "impersonation": st.booleans(), "allow_redelegation": mostly, "all": seldom}
    ),
    st.fixed_dictionaries({"do": st.just("credential"), "unrestricted": mostly, "ruled": seldom, "all": seldom}),
    st.fixed_dictionaries({"do": st.just("oauth1"), "all": seldom}),
    st.fixed_dictionaries({"do": st.just("again"), "scoped": st.booleans()}),
)
some = st.sets(st.sampled_from(BUILT_IN), min_size=1, max_size=2)
# Mostly from what was made last, so that lines grow long.
lines = st.lists(st.tuples(steps, st.sampled_from((0, 0, 0, 1, 2)), some), min_size=2, max_size=8)


class Lineage:
    """One user with roles on one project, and all that came of them."""

    def __init__(self, cloud: Cloud, user: Any, project: Any, consumer: Consumer, trustees: list[Any]) -> None:
        self.cloud, self.user, self.project = cloud, user, project
        self.consumer, self.trustees = consumer, trustees
        self.held: list[Held] = []

    def holder(self, kind: str, answer: Answer, open_to: set[str]) -> Held:
        assert answer.status == 201, answer
        said = answer.body["token"]
        assert said["project"]["id"] == self.project["id"]
        roles = frozenset(role["name"] for role in said["roles"])
        return Held(kind, answer.headers["X-Subject-Token"], said["user"]["id"], roles, frozenset(open_to))

    async def step(self, step: dict[str, Any], parent: Held, roles: set[str]) -> None:
        """Try to derive something from `parent`: only what the rules allow succeeds, and it has no more roles."""
        wanted = sorted(parent.roles if step.get("all") else roles)
        made = await getattr(self, "_" + step["do"])(step, parent, wanted)
        if made is None:
            return
        assert step["do"] in parent.open_to, (step, parent)
        assert made.roles <= parent.roles, (step, parent, made)
        self.held.append(made)

    async def _trust(self, step: dict[str, Any], parent: Held, roles: list[str]) -> Held | None:
        trustee = self.trustees[len(self.held) % len(self.trustees)]
        asked = {
            "trustor_user_id": parent.user_id,
            "trustee_user_id": trustee["id"],
            "project_id": self.project["id"],
            "impersonation": step["impersonation"],
            "allow_redelegation": step["allow_redelegation"],
            "roles": [{"name": role} for role in roles],
        }
        answer = await self.cloud.call("POST", "/OS-TRUST/trusts", {"trust": asked}, parent.token)
        if answer.status != 201:
            assert answer.status in (403, 404), answer
            return None
        trust = answer.body["trust"]
        open_to = {"trust"} if trust["redelegation_count"] else set()
        used = await self.cloud.password(trustee["id"], scope={"OS-TRUST:trust": {"id": trust["id"]}})
        return self.holder("trust", used, open_to)

    async def _credential(self, step: dict[str, Any], parent: Held, roles: list[str]) -> Held | None:
        asked: dict[str, Any] = {"name": new_hex_id(), "unrestricted": step["unrestricted"]}
        asked["roles"] = [{"name": role} for role in roles]
        if step["ruled"]:
            methods = ("GET", "POST", "PUT")
            asked["access_rules"] = [{"service": "identity", "method": one, "path": "/**"} for one in methods]
        path = f"/users/{parent.user_id}/application_credentials"
        answer = await self.cloud.call("POST", path, {"application_credential": asked}, parent.token)
        if answer.status != 201:
            assert answer.status in (400, 403), answer
            return None
        made = answer.body["application_credential"]
        shown = {"id": made["id"], "secret": made["secret"]}
        used = await self.cloud.auth({"methods": ["application_credential"], "application_credential": shown})
        free = step["unrestricted"] and not step["ruled"]
        return self.holder("credential", used, {"again", "credential"} if free else {"again"})

    async def _oauth1(self, step: dict[str, Any], parent: Held, roles: list[str]) -> Held | None:
        request = form(await self.consumer.ask(self.project["id"]))
        answer = await self.consumer.authorize(request, *roles, token=parent.token)
        if answer.status != 200:
            assert answer.status in (401, 403), answer
            return None
        access = form(await self.consumer.fetch(request, answer.body["token"]["oauth_verifier"]))
        return self.holder("oauth1", await self.consumer.login(access), set())

    async def _again(self, step: dict[str, Any], parent: Held, roles: list[str]) -> Held | None:
        scope = {"project": {"id": self.project["id"]}} if step["scoped"] else None
        answer = await self.cloud.again(parent.token, scope)
        if answer.status != 201:
            assert answer.status in (401, 403), answer
            return None
        if "project" not in answer.body["token"]:
            return None  # without a scope it has no roles
        return self.holder(parent.kind, answer, set(parent.open_to))


@pytest.fixture
async def people(cloud: Cloud) -> tuple[Consumer, list[Any]]:
    """A consumer, and users to trust."""
    return await Consumer.made(cloud), [await cloud.made("user", password=PASSWORD) for _ in range(3)]


async def rooted(cloud: Cloud, people: tuple[Consumer, list[Any]], roles: set[str]) -> Lineage:
    """A new user with these roles on a new project, and its first token."""
    project, user = await cloud.made("project"), await cloud.made("user", password=PASSWORD)
    for role in roles:
        path = f"/projects/{project['id']}/users/{user['id']}/roles/{cloud.roles[role]}"
        assert (await cloud.call("PUT", path)).status == 204
    lineage = Lineage(cloud, user, project, *people)
    answer = await cloud.password(user["id"], scope={"project": {"id": project["id"]}})
    lineage.held.append(lineage.holder("password", answer, {"trust", "credential", "oauth1", "again"}))
    return lineage


FREE = {"do": "credential", "unrestricted": True, "ruled": False, "all": False}
PASSABLE = {"do": "trust", "impersonation": True, "allow_redelegation": True, "all": False}


# Chance seldom asks at the second step for just what the first left out.
@example(roles={"admin"}, line=[(FREE, 0, {"reader"}), (FREE, 0, {"member"})])
@example(roles={"admin"}, line=[(PASSABLE, 0, {"reader"}), (PASSABLE, 0, {"member"}), (FREE, 0, {"reader"})])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(roles=st.sampled_from(({"admin"}, {"admin"}, {"member"}, {"member", "reader"})), line=lines)
async def test_what_is_derived_never_has_more_than_what_it_came_from(
    cloud: Cloud, people: tuple[Consumer, list[Any]], roles: set[str], line: list[tuple[dict[str, Any], int, set[str]]]
) -> None:
    lineage = await rooted(cloud, people, roles)
    for step, back, wanted in line:
        parent = lineage.held[max(0, len(lineage.held) - 1 - back)]
        await lineage.step(step, parent, wanted)
    # A ruled token may not ask this route; whether it lives is seen by looking at it.
    alive = [await seen(cloud, one.token) for one in lineage.held]
    assert alive == [200] * len(lineage.held)
    for role in roles:
        path = f"/projects/{lineage.project['id']}/users/{lineage.user['id']}/roles/{cloud.roles[role]}"
        assert (await cloud.call("DELETE", path)).status == 204
    assert [await seen(cloud, one.token) for one in lineage.held] == [404] * len(lineage.held)


async def seen(cloud: Cloud, token: str) -> int:
    """The status of looking at a token as the administrator."""
    headers = {"X-Subject-Token": token, "OpenStack-Identity-Access-Rules": "1.0"}
    return (await cloud.call("GET", "/auth/tokens", headers=headers)).status


async def test_each_kind_of_derivation_succeeds_where_it_may(cloud: Cloud, people: tuple[Consumer, list[Any]]) -> None:
    """The property would hold of a cloud that refuses everything; this one does not."""
    lineage = await rooted(cloud, people, {"admin", "member"})
    root = lineage.held[0]
    trust = {"do": "trust", "impersonation": True, "allow_redelegation": True, "all": True}
    credential = {"do": "credential", "unrestricted": True, "ruled": False, "all": True}
    for step in (trust, credential, {"do": "oauth1", "all": True}, {"do": "again", "scoped": True}):
        await lineage.step(step, root, set())
    kinds = [one.kind for one in lineage.held]
    assert kinds == ["password", "trust", "credential", "oauth1", "password"]
    await lineage.step(trust, lineage.held[1], set())
    await lineage.step(credential, lineage.held[2], set())
    await lineage.step({"do": "again", "scoped": False}, lineage.held[2], set())
    assert [one.kind for one in lineage.held[5:]] == ["trust", "credential", "credential"]

"""The policy language."""

from __future__ import annotations

import pytest

from skybus.http.caller import Caller
from skybus.http.policy import Policy, PolicyError


def caller(*roles: str, project: str | None = "p1", user: str = "u1", system: bool = False) -> Caller:
    return Caller(user_id=user, project_id=project, roles=frozenset(roles), system=system)


RULES = {
    "admin": "role:admin",
    "member": "role:member and project_id:%(project_id)s",
    "either": "rule:admin or (rule:member and not role:banned)",
    "owner": "user_id:%(target.user.id)s",
    "system": "role:reader and system_scope:all",
    "anybody": "@",
    "nobody": "!",
    "empty": "",
    "quoted": "'public':%(visibility)s",
    "unscoped": "project_id:None",
    "scoped": "role:member and not project_id:None",
    "typo": "projct_id:None",
    "of nobody": "None:%(owner)s",
    "somebody's": "not None:%(owner)s",
    "shown": "True:%(shown)s",
    "keystone's": "token.project.id:%(target.project.id)s",
    "neutron's": "tenant_id:%(project_id)s",
}


@pytest.mark.parametrize(
    ("rule", "who", "target", "allowed"),
    [
        ("admin", caller("admin"), {}, True),
        ("admin", caller("member"), {}, False),
        ("member", caller("member"), {"project_id": "p1"}, True),
        ("member", caller("member"), {"project_id": "p2"}, False),
        ("member", caller("member", project=None), {"project_id": None}, False),
        ("either", caller("member"), {"project_id": "p1"}, True),
        ("either", caller("member", "banned"), {"project_id": "p1"}, False),
        ("either", caller("admin", "banned"), {"project_id": "p9"}, True),
        ("owner", caller(user="u7"), {"target.user.id": "u7"}, True),
        ("owner", caller(user="u7"), {}, False),
        ("system", caller("reader", project=None, system=True), {}, True),
        ("system", caller("reader"), {}, False),
        ("anybody", caller(), {}, True),
        ("nobody", caller("admin"), {}, False),
        ("empty", caller(), {}, True),
        ("quoted", caller(), {"visibility": "public"}, True),
        ("quoted", caller(), {"visibility": "private"}, False),
        ("undefined", caller("admin"), {}, False),
        ("unscoped", caller(project=None), {}, True),
        ("unscoped", caller(), {}, False),
        ("scoped", caller("member", project=None), {}, False),
        ("scoped", caller("member"), {}, True),
        ("typo", caller(project=None), {}, False),
        ("of nobody", caller(), {"owner": None}, True),
        ("of nobody", caller(), {"owner": "u1"}, False),
        ("of nobody", caller(), {}, False),
        ("somebody's", caller(), {"owner": None}, False),
        ("somebody's", caller(), {"owner": "u1"}, True),
        ("shown", caller(), {"shown": True}, True),
        ("shown", caller(), {"shown": False}, False),
        ("keystone's", caller(project="p1"), {"target.project.id": "p1"}, True),
        ("keystone's", caller(project="p2"), {"target.project.id": "p1"}, False),
        ("neutron's", caller(project="p1"), {"project_id": "p1"}, True),
    ],
)
def test_a_rule_allows_whom_it_names(rule: str, who: Caller, target: dict[str, object], allowed: bool) -> None:
    assert Policy(RULES).allows(rule, who, target) is allowed


def test_without_a_target_a_rule_is_about_ones_own() -> None:
    assert Policy(RULES).allows("member", caller("member"))


@pytest.mark.parametrize("text", ["role", "(role:a", "role:a or", "role:a role:b", "not"])
def test_a_rule_that_cannot_be_read_is_refused_at_start(text: str) -> None:
    with pytest.raises(PolicyError, match="broken"):
        Policy({"broken": text})


def test_an_operators_rule_holds_in_the_place_of_ours_and_ours_holds_again_without_it() -> None:
    policy = Policy(RULES)
    assert policy.override({"anybody": "rule:staff", "staff": "role:staff"}) == set()
    assert not policy.allows("anybody", caller("member"))
    assert policy.allows("anybody", caller("staff"))
    assert policy.override({}) == set()
    assert policy.allows("anybody", caller("member"))


def test_names_that_mean_nothing_are_told() -> None:
    assert Policy(RULES).override({"identity:creat_user": "role:admin", "helper": "@", "empty": "rule:helper"}) == {
        "identity:creat_user"
    }


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({"owner": "rule:nowhere"}, "rule owner refers to the rule nowhere"),
        ({"owner": "rule:owner"}, "in a circle: owner"),
        ({"admin": "not rule:either"}, "in a circle: admin, either"),
        ({"anybody": "http://decides.test/"}, "rule anybody cannot be read"),
        ({"anybody": "(" * 100_000}, "rule anybody cannot be read"),
        ({"anybody": "not " * 100_000 + "@"}, "rule anybody cannot be read"),
        ({"nobody": "@", "anybody": "role:a or"}, "rule anybody cannot be read"),
    ],
)
def test_rules_that_nobody_can_mean_change_nothing(texts: dict[str, str], says: str) -> None:
    policy = Policy(RULES)
    with pytest.raises(PolicyError, match=says):
        policy.override(texts)
    assert policy.allows("anybody", caller())
    assert not policy.allows("nobody", caller("admin"))
    assert policy.texts == RULES

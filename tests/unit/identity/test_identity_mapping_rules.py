"""The mapping language: who somebody is, by what an identity provider says."""

from __future__ import annotations

import time
from typing import Any

import pytest

from skybus.errors import BadRequest, Unauthorized
from skybus.identity.federation.mapping_checks import check_mapping, check_pattern
from skybus.identity.federation.mapping_rules import LONGEST_MATCHED, apply_rules

SAID = {
    "name": ["bob"],
    "mail": ["bob@people.example"],
    "groups": ["dev", "ops", "guests"],
    "type": ["Employee"],
}
DOMAIN = {"name": "people"}


def rule(local: Any, *remote: Any) -> dict[str, Any]:
    return {"local": local if isinstance(local, list) else [local], "remote": list(remote)}


NAMED = rule({"user": {"name": "{0}", "email": "{1}"}}, {"type": "name"}, {"type": "mail"})


def test_values_come_in_by_their_place() -> None:
    mapped = apply_rules([NAMED], SAID)
    assert mapped.user == {"type": "ephemeral", "name": "bob", "email": "bob@people.example"}
    assert mapped.group_ids == mapped.group_names == mapped.projects == ()


@pytest.mark.parametrize(
    ("requirement", "holds"),
    [
        ({"type": "type", "any_one_of": ["Employee", "Boss"]}, True),
        ({"type": "type", "any_one_of": ["Boss"]}, False),
        ({"type": "type", "any_one_of": ["^Empl"], "regex": True}, True),
        ({"type": "type", "any_one_of": ["ploy$"], "regex": True}, False),
        ({"type": "type", "not_any_of": ["Boss"]}, True),
        ({"type": "type", "not_any_of": ["Boss", "Employee"]}, False),
        ({"type": "groups", "not_any_of": ["gue.*"], "regex": True}, False),
        ({"type": "absent", "not_any_of": ["x"]}, False),
        ({"type": "absent"}, False),
    ],
)
def test_a_rule_holds_when_its_requirements_do(requirement: Any, holds: bool) -> None:
    rules = [rule({"user": {"name": "{0}"}, "group": {"id": "g"}}, {"type": "name"}, requirement)]
    if holds:
        assert apply_rules(rules, SAID).group_ids == ("g",)
    else:
        with pytest.raises(Unauthorized):
            apply_rules(rules, SAID)


@pytest.mark.parametrize(
    ("requirement", "kept"),
    [
        ({"whitelist": ["dev", "root"]}, ["dev"]),
        ({"blacklist": ["guests"]}, ["dev", "ops"]),
        ({"whitelist": ["^[do]"], "regex": True}, ["dev", "ops"]),
        ({"blacklist": ["^.e"], "regex": True}, ["ops", "guests"]),
        ({"whitelist": []}, []),
        ({}, ["dev", "ops", "guests"]),
    ],
)
def test_lists_are_filtered_before_they_become_groups(requirement: Any, kept: list[str]) -> None:
    rules = [NAMED, rule({"groups": "{0}", "domain": DOMAIN}, {"type": "groups", **requirement})]
    mapped = apply_rules(rules, SAID)
    assert [name for name, _ in mapped.group_names] == kept
    assert all(domain == DOMAIN for _, domain in mapped.group_names)


def test_conditions_take_no_place() -> None:
    rules = [
        rule(
            {"user": {"name": "{1}"}}, {"type": "type", "any_one_of": ["Employee"]}, {"type": "mail"}, {"type": "name"}
        )
    ]
    assert apply_rules(rules, SAID).user["name"] == "bob"


def test_several_rules_add_up_and_the_first_user_wins() -> None:
    rules = [
        NAMED,
        rule({"user": {"name": "other"}, "group": {"name": "a", "domain": {"id": "d"}}}, {"type": "name"}),
        rule([{"group_ids": "{0}"}, {"group": {"id": "g1"}}], {"type": "groups", "whitelist": ["dev"]}),
        rule({"groups": "['x', 'y {0}']", "domain": DOMAIN}, {"type": "name"}),
    ]
    mapped = apply_rules(rules, SAID)
    assert mapped.user["name"] == "bob"
    assert mapped.group_ids == ("dev", "g1")
    assert mapped.group_names == (("a", {"id": "d"}), ("x", DOMAIN), ("y bob", DOMAIN))


def test_projects_carry_their_roles_and_domains_come_with_the_second_schema() -> None:
    projects = [{"name": "home of {0}", "roles": [{"name": "member"}]}]
    rules = [rule({"user": {"name": "{0}"}, "projects": projects, "domain": DOMAIN}, {"type": "name"})]
    first, second = apply_rules(rules, SAID), apply_rules(rules, SAID, "2.0")
    assert first.projects == ({"name": "home of bob", "roles": [{"name": "member"}]},)
    assert second.projects[0]["domain"] == second.user["domain"] == DOMAIN
    assert "domain" not in first.user


@pytest.mark.parametrize("name", ["['admin', 'root']", "bob;admin", "{0.__class__}", "{1}", "%(x)s", "JSON:{}"])
def test_what_a_person_calls_itself_is_one_text_and_no_rule(name: str) -> None:
    """Security: attributes are chosen by people; rules are not."""
    rules = [
        rule({"user": {"name": "{0}"}}, {"type": "name"}, {"type": "mail"}),
        rule({"groups": "{0}", "domain": DOMAIN}, {"type": "name"}),
    ]
    mapped = apply_rules(rules, {**SAID, "name": [name]})
    assert mapped.user["name"] == name
    assert mapped.group_names == ((name, DOMAIN),)


@pytest.mark.parametrize(
    "local",
    [{"user": {"name": "{0}"}}, {"user": {"name": "{7}"}}, {"user": {"name": "x"}, "group": {"id": "{0}"}}],
)
def test_what_has_room_for_one_value_takes_no_other_number(local: Any) -> None:
    with pytest.raises(Unauthorized):
        apply_rules([rule(local, {"type": "groups"})], SAID)


def test_a_pattern_looks_at_no_more_than_a_little_text() -> None:
    rules = [rule({"user": {"name": "x"}}, {"type": "name", "any_one_of": ["^a+$"], "regex": True})]
    assert apply_rules(rules, {"name": ["a" * LONGEST_MATCHED]}).user["name"] == "x"
    with pytest.raises(Unauthorized):
        apply_rules(rules, {"name": ["a" * (LONGEST_MATCHED + 1)]})


def test_nobody_gets_past_what_a_rule_keeps_out_by_being_long() -> None:
    """Security class 8."""
    long = "contractor" + "x" * LONGEST_MATCHED
    kept_out = {"type": "kind", "not_any_of": ["^contractor"], "regex": True}
    rules = [{"local": [{"user": {"name": "x"}}], "remote": [kept_out]}]
    assert apply_rules(rules, {"kind": ["employee"]}).user["name"] == "x"
    with pytest.raises(Unauthorized):
        apply_rules(rules, {"kind": [long]})
    listed = {"type": "groups", "blacklist": ["^contractor"], "regex": True}
    rules = [{"local": [{"user": {"name": "x"}, "group_ids": "{0}"}], "remote": [listed]}]
    assert apply_rules(rules, {"groups": ["staff", long]}).group_ids == ("staff",)


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a*)*", "((a+)b?)*", "(a|aa)+$", "(?:x{2,}y?){3,}", "(", "[", "a" * 600, "(a{1,9})*"]
)
def test_patterns_that_could_take_for_ever_are_refused(pattern: str) -> None:
    """Security class 16."""
    with pytest.raises(BadRequest):
        check_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", ["^admin", r".*@(a|b)\.example$", "[a(+]+x", r"\(a+\)+", "(abc)+d?", "^a{1,3}$", ""]
)
def test_ordinary_patterns_are_taken_and_quick(pattern: str) -> None:
    check_pattern(pattern)
    began = time.process_time()
    rules = [rule({"user": {"name": "x"}}, {"type": "name", "not_any_of": [pattern], "regex": True})]
    try:
        apply_rules(rules, {"name": ["a" * (LONGEST_MATCHED - 1) + "!"]})
    except Unauthorized:
        pass
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("rules", "version"),
    [
        ([rule({"user": {"name": "x"}}, {"type": "a", "any_one_of": ["x"], "whitelist": ["y"]})], "1.0"),
        ([rule({"user": {"name": "x"}}, {"type": "a", "regex": True})], "1.0"),
        ([rule({"groups": "{0}"}, {"type": "a"})], "1.0"),
        ([rule({"projects": [{"name": "p", "roles": [{"name": "r"}], "domain": DOMAIN}]}, {"type": "a"})], "1.0"),
        ([NAMED], "9.9"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(rules: Any, version: str) -> None:
    with pytest.raises(BadRequest):
        check_mapping(rules, version)

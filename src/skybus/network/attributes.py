"""Attributes of requests: who may set which, whose a thing will be, and what changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skybus.errors import Forbidden
from skybus.http.call import Call
from skybus.network.policies import RULES


def owner(call: Call, rule: str, asked: Mapping[str, Any], otherwise: str | None = None) -> str:
    """Whose the new resource will be: what the body says, else `otherwise`, else the caller's project.

    Raises Forbidden when the body names a project that is neither, unless `rule` lets the caller create for anybody.
    """
    named = asked.get("project_id") or asked.get("tenant_id")
    if not named:
        return otherwise or call.project_id
    if named not in (otherwise, call.caller.project_id) and not sees_everything(call, rule):
        raise Forbidden(f"(rule:{rule}) is disallowed by policy", type="PolicyNotAuthorized")
    return str(named)


def require_attributes(
    call: Call, verb: str, asked: Mapping[str, Any], target: Mapping[str, Any], defaults: Mapping[str, Any]
) -> None:
    """Raises Forbidden when the policy keeps an attribute of `asked` from the caller.

    `verb` is as in `create_port`. An attribute that says what is so anyway asks for nothing.
    """
    for name, value in asked.items():
        rule = f"{verb}:{name}"
        if rule in RULES and not (name in defaults and defaults[name] == value):
            require(call, rule, target)


def require(call: Call, rule: str, target: Mapping[str, Any]) -> None:
    """Raises Forbidden, as Neutron words it, unless the caller may do `rule` to `target`."""
    if not call.permits(rule, **target):
        raise Forbidden(f"(rule:{rule}) is disallowed by policy", type="PolicyNotAuthorized")


def shown_attributes(call: Call, rules: Mapping[str, str]) -> frozenset[str]:
    """Names of the guarded attributes (`rules`: attribute to rule) that the caller may see on anything."""
    return frozenset(name for name, rule in rules.items() if call.permits(rule, project_id=""))


def sees_everything(call: Call, rule: str) -> bool:
    """Whether `rule` allows the caller what is nobody's, and so what is anybody's."""
    return call.permits(rule, project_id="", shared=False)

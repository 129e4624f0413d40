"""The mapping language: what an identity provider says of somebody, turned into a user, groups and projects of ours.

Pure: rules and an assertion in, a decision out. The language is Keystone's, with three differences that keep a person
from writing rules into an attribute: a value is never taken apart at semicolons, never read as a list, and never
formatted by anything but `{0}`, `{1}` and so on.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from skybus.errors import Unauthorized

Assertion = Mapping[str, Sequence[str]]
"""Attributes by name; each may have several values."""
Rule = Mapping[str, Any]
_Found = list[list[str]]

EPHEMERAL, LOCAL = "ephemeral", "local"
HONOURS_DOMAINS = ("2.0", "3.0")
"""Schema versions in which `domain` beside a user or projects is their domain unless they name one."""
LONGEST_MATCHED = 256
"""Characters of a value that a regular expression looks at. What is longer is taken for what the rule keeps out."""
_PLACE = re.compile(r"\{(\d{1,3})\}")


class Mapped(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules make of an assertion."""

    user: dict[str, Any]
    """`id`, `name`, `email`, `domain` (`id` or `name`) where the rules set them, and `type`."""
    group_ids: tuple[str, ...] = ()
    group_names: tuple[tuple[str, dict[str, str]], ...] = ()
    """(name, domain)."""
    projects: tuple[dict[str, Any], ...] = ()
    """`name`, `roles` (a list of `name`) and perhaps `domain`."""


def apply_rules(rules: Sequence[Rule], assertion: Assertion, schema_version: str = "1.0") -> Mapped:
    """What `rules` say of whom `assertion` describes. Raises Unauthorized when that is nobody or cannot be told."""
    locals_: list[dict[str, Any]] = []
    for rule in rules:
        found = requirements_met(rule["remote"], assertion)
        if found is not None:
            locals_ += [_filled(local, found) for local in rule["local"]]
    if not locals_:
        raise Unauthorized("Could not map any federated user properties to identity values.")
    honoured = schema_version in HONOURS_DOMAINS
    return Mapped(
        user=_user(locals_, honoured),
        group_ids=tuple(dict.fromkeys(one for local in locals_ for one in _group_ids(local))),
        group_names=tuple(one for local in locals_ for one in _group_names(local)),
        projects=tuple(one for local in locals_ for one in _projects(local, honoured)),
    )


# --- the remote side


def requirements_met(requirements: Sequence[Mapping[str, Any]], assertion: Assertion) -> _Found | None:
    """The values for `{0}`, `{1}`, ... when every requirement is met, and None otherwise."""
    found: _Found = []
    for one in requirements:
        values = [value for value in assertion.get(one["type"], ()) if value]
        if not values:
            return None
        regex = bool(one.get("regex"))
        if "any_one_of" in one:
            if not _matching(values, one["any_one_of"], regex):
                return None
        elif "not_any_of" in one:
            if _matching(values, one["not_any_of"], regex, longer=True):
                return None
        elif "blacklist" in one:
            bad = _matching(values, one["blacklist"], regex, longer=True)
            found.append([value for value in values if value not in bad])
        elif "whitelist" in one:
            found.append(_matching(values, one["whitelist"], regex))
        else:
            found.append(values)
    return found


def _matching(values: Sequence[str], wanted: Sequence[Any], regex: bool, *, longer: bool = False) -> list[str]:
    """Those of `values` that are wanted. `longer` says whether one is that no expression looks at."""
    if not regex:
        return [value for value in values if value in wanted]
    return [
        value
        for value in values
        if (longer if len(value) > LONGEST_MATCHED else any(re.search(str(pattern), value) for pattern in wanted))
    ]


# --- the local side


def _filled(local: Mapping[str, Any], found: _Found) -> dict[str, Any]:
    """`local` with every place filled. `groups` and `group_ids` become lists."""
    return {
        key: _several(value, found) if key in ("groups", "group_ids") else _filled_value(value, found)
        for key, value in local.items()
    }


def _filled_value(value: Any, found: _Found) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled_value(part, found) for key, part in value.items()}
    if isinstance(value, list):
        return [_filled_value(part, found) for part in value]
    return _text(value, found) if isinstance(value, str) else value


def _text(template: str, found: _Found) -> str:
    """`template` with one value in each place. Raises Unauthorized where there is none, or more than one."""

    def one(place: re.Match[str]) -> str:
        values = _values(place, found)
        if len(values) != 1:
            raise Unauthorized(f"An attribute has {len(values)} values where the mapping has room for one.")
        return values[0]

    return _PLACE.sub(one, template)


def _several(template: str, found: _Found) -> list[str]:
    """All values of a template that is one place; a list of texts where the template is written as one."""
    place = _PLACE.fullmatch(template.strip())
    if place is not None:
        return _values(place, found)
    return [_text(part, found) for part in _written_list(template)]


def _written_list(template: str) -> list[str]:
    """The list that a rule's author wrote as text; what users send is not in it yet."""
    if template.lstrip().startswith("["):
        try:
            parts = ast.literal_eval(template.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return [template]
        if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
            return parts
    return [template]


def _values(place: re.Match[str], found: _Found) -> list[str]:
    index = int(place.group(1))
    if index >= len(found):
        raise Unauthorized("The mapping names an attribute that its rule does not have.")
    return found[index]


def _user(locals_: Sequence[Mapping[str, Any]], honoured: bool) -> dict[str, Any]:
    """The first user that a rule made, as in Keystone."""
    for local in locals_:
        if local.get("user"):
            user = {"type": EPHEMERAL, **local["user"]}
            if honoured and not user.get("domain") and local.get("domain"):
                user["domain"] = local["domain"]
            return user
    return {"type": EPHEMERAL}


def _group_ids(local: Mapping[str, Any]) -> list[str]:
    direct = [local["group"]["id"]] if "id" in local.get("group", {}) else []
    return [*direct, *local.get("group_ids", [])]


def _group_names(local: Mapping[str, Any]) -> list[tuple[str, dict[str, str]]]:
    group = local.get("group", {})
    named = [(group["name"], group["domain"])] if "name" in group else []
    return named + [(name, local["domain"]) for name in local.get("groups", [])]


def _projects(local: Mapping[str, Any], honoured: bool) -> list[dict[str, Any]]:
    if not honoured or not local.get("domain"):
        return list(local.get("projects", []))
    return [{"domain": local["domain"], **project} for project in local.get("projects", [])]

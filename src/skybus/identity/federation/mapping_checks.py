"""Whether the rules of a mapping can be used: what a JSON Schema cannot say of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from skybus.errors import BadRequest

LONGEST_PATTERN = 512
SCHEMA_VERSIONS = ("1.0", "2.0")
_KINDS = ("any_one_of", "not_any_of", "blacklist", "whitelist")


def check_mapping(rules: Sequence[Mapping[str, Any]], schema_version: str) -> None:
    """Raises BadRequest for rules that could never be applied, or that could keep us busy for ever."""
    if schema_version not in SCHEMA_VERSIONS:
        raise BadRequest(f"schema_version must be one of {', '.join(SCHEMA_VERSIONS)}.")
    for rule in rules:
        for requirement in rule["remote"]:
            _check_requirement(requirement)
        for local in rule["local"]:
            if "groups" in local and not local.get("domain"):
                raise BadRequest("Both 'groups' and 'domain' must be specified in a local rule.")
            if schema_version == "1.0" and any("domain" in project for project in local.get("projects", [])):
                raise BadRequest("A project of a mapping can name its domain since schema_version 2.0.")


def _check_requirement(requirement: Mapping[str, Any]) -> None:
    kinds = [kind for kind in _KINDS if kind in requirement]
    if len(kinds) > 1:
        raise BadRequest(f"A remote rule can have one of {', '.join(_KINDS)}, not {' and '.join(kinds)}.")
    if requirement.get("regex") and not kinds:
        raise BadRequest(f"regex goes with one of {', '.join(_KINDS)}.")
    if requirement.get("regex"):
        for pattern in requirement[kinds[0]]:
            check_pattern(pattern)


def check_pattern(pattern: str) -> None:
    """Raises BadRequest for what is no regular expression, and for one that repeats what repeats: matching such a one
    can take time that grows with two to the power of the value's length."""
    if len(pattern) > LONGEST_PATTERN:
        raise BadRequest(f"A regular expression may have {LONGEST_PATTERN} characters.")
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise BadRequest(f"{pattern[:64]!r} is not a regular expression: {error}.") from None
    if _repeats_repeat(pattern):
        raise BadRequest(f"{pattern[:64]!r} repeats a group that repeats, which could take for ever.")


def _repeats_repeat(pattern: str) -> bool:
    """Whether a group that holds `*`, `+`, `{...}` or `|` is itself repeated without a small bound."""
    open_groups: list[bool] = [False]
    words = list(_words(pattern))
    for index, word in enumerate(words):
        repeats = word in ("*", "+") or word.startswith("{")
        if word == "(":
            open_groups.append(False)
        elif word == ")":
            inside = open_groups.pop() if len(open_groups) > 1 else False
            following = words[index + 1] if index + 1 < len(words) else ""
            if inside and (following in ("*", "+") or following.startswith("{")):
                return True
            open_groups[-1] = open_groups[-1] or inside
        elif repeats or word == "|":
            open_groups[-1] = True
    return False


_WORD = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\d*,?\d*\}|.", re.DOTALL)


def _words(pattern: str) -> Iterator[str]:
    """The pattern's parts; what is escaped or in brackets is one part and no operator."""
    for match in _WORD.finditer(pattern):
        word = match.group()
        yield "literal" if word[0] in "\\[" and len(word) > 1 else word

"""Who may do what, in the policy language that OpenStack's operators know, compiled to functions at start.

A rule is `check`, `rule and rule`, `rule or rule`, `not rule`, `(rule)`; a check is `role:NAME`, `rule:NAME`,
`ATTRIBUTE:VALUE` over the caller's credentials, `@` (anybody) or `!` (nobody). `%(name)s` in a value is taken from the
target, the thing that is to be touched. What is not allowed by a rule is forbidden.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from skybus.http.caller import Caller

Check = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]
"""(credentials, target) -> allowed."""

_WORD = re.compile(r"\s*(\(|\)|[^\s()]+(?:\([^)]*\)[^\s()]*)?)")
_TARGET = re.compile(r"%\((\w+(?:\.\w+)*)\)s")


class PolicyError(Exception):
    """A rule cannot be read; the message names it."""


class Policy:
    """All rules of the cloud, by name."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        self.texts = dict(rules)
        self._checks: dict[str, Check] = {}
        for name, text in self.texts.items():
            self._checks[name] = self._compile(name, text)

    def __contains__(self, name: str) -> bool:
        return name in self._checks

    def allows(self, rule: str, caller: Caller, target: Mapping[str, Any] | None = None) -> bool:
        """Whether `caller` may do `rule` to `target`; without one, to something of the caller's own."""
        credentials = caller.credentials()
        if target is None:
            target = {"project_id": caller.project_id, "user_id": caller.user_id, "domain_id": caller.domain_id}
        check = self._checks.get(rule)
        return check is not None and check(credentials, target)

    def _compile(self, name: str, text: str) -> Check:
        words = _words(text)
        try:
            check = self._either(words)
        except (IndexError, ValueError) as error:
            raise PolicyError(f"policy rule {name} cannot be read: {text!r}") from error
        if words:
            raise PolicyError(f"policy rule {name} has something after its end: {' '.join(words)!r}")
        return check

    def _either(self, words: list[str]) -> Check:
        checks = [self._both(words)]
        while words and words[0].lower() == "or":
            words.pop(0)
            checks.append(self._both(words))
        return checks[0] if len(checks) == 1 else lambda who, what: any(check(who, what) for check in checks)

    def _both(self, words: list[str]) -> Check:
        checks = [self._single(words)]
        while words and words[0].lower() == "and":
            words.pop(0)
            checks.append(self._single(words))
        return checks[0] if len(checks) == 1 else lambda who, what: all(check(who, what) for check in checks)

    def _single(self, words: list[str]) -> Check:
        word = words.pop(0)
        if word.lower() == "not":
            inner = self._single(words)
            return lambda who, what: not inner(who, what)
        if word == "(":
            inner = self._either(words)
            if words.pop(0) != ")":
                raise ValueError("unbalanced")
            return inner
        return self._atom(word)

    def _atom(self, word: str) -> Check:
        if word == "@":
            return lambda who, what: True
        if word == "!":
            return lambda who, what: False
        kind, colon, value = word.partition(":")
        if not colon:
            raise ValueError(word)
        if kind == "role":
            return lambda who, what: value in who["roles"]
        if kind == "rule":
            return lambda who, what: value in self._checks and self._checks[value](who, what)
        return _comparison(kind, value)


def _comparison(kind: str, value: str) -> Check:
    target = _TARGET.fullmatch(value)
    quoted = len(kind) > 1 and kind[0] == kind[-1] and kind[0] in "'\""
    if target is None:
        return lambda who, what: who.get(kind) is not None and str(who[kind]) == value
    name = target.group(1)

    def equal(who: Mapping[str, Any], what: Mapping[str, Any]) -> bool:
        mine = kind[1:-1] if quoted else who.get(kind)
        theirs = what.get(name)
        return mine is not None and theirs is not None and str(mine) == str(theirs)

    return equal


def _words(text: str) -> list[str]:
    """Words and parentheses; the parentheses of `%(name)s` belong to their word. An empty rule allows anybody."""
    words = []
    position = 0
    text = text.strip() or "@"
    while position < len(text):
        match = _WORD.match(text, position)
        if match is None:
            break
        words.append(match.group(1))
        position = match.end()
    return words

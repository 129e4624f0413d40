"""Who may do what, in the policy language that OpenStack's operators know, compiled to functions at start.

A rule is `check`, `rule and rule`, `rule or rule`, `not rule`, `(rule)`; a check is `role:NAME`, `rule:NAME`,
`ATTRIBUTE:VALUE` over the caller's credentials, `@` (anybody) or `!` (nobody). `%(name)s` in a value is taken from the
target, the thing that is to be touched. What is not allowed by a rule is forbidden.

Operators put other rules in the place of ours, by name (`policy_file.py`). A rule that nobody could mean is an error
and not a refusal that takes a day to find: one that names a rule that is not there, or itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from skybus.http.caller import Caller

Check = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]
"""(credentials, target) -> allowed."""

ALIASES = {
    "token.user.id": "user_id",
    "token.user.domain.id": "user_domain_id",
    "token.project.id": "project_id",
    "token.project.domain.id": "project_domain_id",
    "token.domain.id": "domain_id",
    "tenant_id": "project_id",
}
"""What rules that were written for OpenStack call some attributes."""
REMOTE = ("http", "https")
"""Checks that ask a server, which OpenStack's language has and ours has not."""
_WORD = re.compile(r"\s*(\(|\)|[^\s()]+(?:\([^)]*\)[^\s()]*)?)")
_TARGET = re.compile(r"%\((\w+(?:\.\w+)*)\)s")


class PolicyError(Exception):
    """A rule cannot be read; the message names it."""


class Policy:
    """All rules of the cloud, by name. Raises PolicyError for a rule that cannot be read."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        self.defaults = dict(rules)
        self.texts: dict[str, str] = {}
        """The rules that hold."""
        self._checks: dict[str, Check] = {}
        self._named: set[str] = set()
        """What the rule that is being compiled refers to."""
        self.override({})

    def __contains__(self, name: str) -> bool:
        return name in self._checks

    def override(self, texts: Mapping[str, str]) -> set[str]:
        """Let `texts` hold in the place of the defaults of their names: all of them, or none and PolicyError.

        Answers the names among them that mean nothing here: no default has them, and no rule refers to them.
        """
        merged = {**self.defaults, **texts}
        checks: dict[str, Check] = {}
        references: dict[str, set[str]] = {}
        for name, text in merged.items():
            self._named = references[name] = set()
            checks[name] = self._compile(name, text)
        _check_references(references)
        self.texts, self._checks = merged, checks
        return set(texts) - set(self.defaults) - set().union(*references.values())

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
        except (IndexError, ValueError, RecursionError) as error:
            raise PolicyError(f"policy rule {name} cannot be read: {text[:200]!r}") from error
        if words:
            raise PolicyError(f"policy rule {name} has something after its end: {' '.join(words)[:200]!r}")
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
            self._named.add(value)
            return lambda who, what: self._checks[value](who, what)
        if kind in REMOTE:
            raise ValueError(word)
        return _comparison(kind, value)


def _check_references(references: Mapping[str, set[str]]) -> None:
    """Raises PolicyError for a rule that refers to one that is not there, or, in however many steps, to itself."""
    for name, named in references.items():
        for one in sorted(named - references.keys()):
            raise PolicyError(f"policy rule {name} refers to the rule {one}, which nobody defines")
    left = dict(references)
    while left:
        ready = [name for name, named in left.items() if not named & left.keys()]
        if not ready:
            raise PolicyError(f"policy rules refer to each other in a circle: {', '.join(sorted(left)[:5])}")
        for name in ready:
            del left[name]


def _comparison(kind: str, value: str) -> Check:
    """`ATTRIBUTE:VALUE`, `ATTRIBUTE:%(target)s` or `LITERAL:%(target)s`."""
    target = _TARGET.fullmatch(value)
    literal = _literal(kind)
    kind = ALIASES.get(kind, kind)
    if target is None and value == "None":
        # The one value that says of an attribute that it has none: rules rely on `not domain_id:None`.
        return lambda who, what: kind in who and who[kind] is None
    if target is None:
        return lambda who, what: who.get(kind) is not None and str(who[kind]) == value
    name = target.group(1)
    if literal is not None:
        return lambda who, what: name in what and str(what[name]) == literal

    def equal(who: Mapping[str, Any], what: Mapping[str, Any]) -> bool:
        mine, theirs = who.get(kind), what.get(name)
        return mine is not None and theirs is not None and str(mine) == str(theirs)

    return equal


def _literal(kind: str) -> str | None:
    """The text of a literal (`'public'`, `None`, `True`, `3`), or None for the name of an attribute."""
    if len(kind) > 1 and kind[0] == kind[-1] and kind[0] in "'\"":
        return kind[1:-1]
    return kind if kind in ("None", "True", "False") or kind.isdecimal() else None


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

"""The paths of access rules: which requests a pattern means.

`*` and `{name}` stand for one part of a path or a piece of one, `**` for anything at all; everything else stands for
itself. A pattern is run as a small machine whose states are the bits of one number: no pattern, however mean, takes
longer than the path is long.
"""

from __future__ import annotations

import re

LONGEST = 1024
"""Characters of a path that is held against wildcards; nothing of ours is longer."""

_TOKEN = re.compile(r"(?P<deep>\*\*)|(?P<part>\*|\{[^{}/]*\})|(?P<letter>.)", re.DOTALL)


class PathPattern:
    """One pattern, ready to be held against paths."""

    __slots__ = ("_deep", "_end", "_letters", "_part", "_plain")

    def __init__(self, text: str) -> None:
        text = text.rstrip("/") or "/"
        self._plain = text if "*" not in text and "{" not in text else None
        self._deep = self._part = 0
        self._letters: dict[str, int] = {}
        self._end = 0
        for token in _TOKEN.finditer(text):
            bit = 1 << self._end
            if token["deep"]:
                if self._deep & (bit >> 1):
                    continue  # `****` is `**`
                self._deep |= bit
            elif token["part"]:
                self._part |= bit
            else:
                self._letters[token["letter"]] = self._letters.get(token["letter"], 0) | bit
            self._end += 1

    def matches(self, path: str) -> bool:
        """Whether the pattern means `path`, which has no slash at its end."""
        if self._plain is not None:
            return path == self._plain
        if len(path) > LONGEST:
            return False
        states = self._past_deep(1)
        for letter in path:
            following = (states & self._letters.get(letter, 0)) << 1
            following |= states & (self._deep << 1)
            if letter != "/":
                following |= ((states & self._part) << 1) | (states & (self._part << 1))
            states = self._past_deep(following)
            if not states:
                return False
        return bool(states >> self._end & 1)

    def _past_deep(self, states: int) -> int:
        """`**` may stand for nothing."""
        return states | ((states & self._deep) << 1)

"""Patterns of access rules: what they mean, and that no pattern makes anybody wait."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skybus.identity.delegation.access_rule_paths import LONGEST, PathPattern


@pytest.mark.parametrize(
    ("pattern", "path", "meant"),
    [
        ("/v2.1/servers", "/v2.1/servers", True),
        ("/v2.1/servers/", "/v2.1/servers", True),
        ("/v2.1/servers", "/v2.1/servers/detail", False),
        ("/v2.1/servers", "/v2a1/servers", False),
        ("/v2.1/servers/*/ips", "/v2.1/servers/7/ips", True),
        ("/v2.1/servers/{server_id}/ips", "/v2.1/servers/7/ips", True),
        ("/v2.1/servers/*/ips", "/v2.1/servers/7/8/ips", False),
        ("/v2.1/servers/*/ips", "/v2.1/servers//ips", False),
        ("/v2.1/servers/*", "/v2.1/servers", False),
        ("/v2.1/**", "/v2.1/servers/7/ips", True),
        ("/v2.1/**", "/v2.1", False),
        ("/v2.1**", "/v2.1", True),
        ("/**/ips", "/v2.1/servers/7/ips", True),
        ("/v3/*/volumes/vol-*", "/v3/p/volumes/vol-1", True),
        ("/v3/*/volumes/vol-*", "/v3/p/volumes/pic-1", False),
        ("**", "/", True),
        ("/", "/", True),
        ("/", "/v3", False),
        ("/a.c", "/abc", False),
        ("/v3/{unclosed", "/v3/{unclosed", True),
    ],
)
def test_a_pattern_means_these_paths(pattern: str, path: str, meant: bool) -> None:
    assert PathPattern(pattern).matches(path) is meant


def slow_but_plain(pattern: str) -> re.Pattern[str]:
    """The same as a regular expression, which can take for ever."""
    text = "".join(
        ".*" if piece == "**" else "[^/]+" if piece in ("*", "{n}") else re.escape(piece)
        for piece in re.split(r"(\*\*|\*|\{n\})", pattern)
    )
    return re.compile(text, re.DOTALL)


@given(st.lists(st.sampled_from(["a", "b", "/", "*", "**", "{n}"]), max_size=8), st.text("ab/", max_size=8))
def test_a_pattern_means_what_its_regular_expression_does(pieces: list[str], rest: str) -> None:
    pattern, path = "/" + "".join(pieces) + "a", "/" + rest + "a"
    assert PathPattern(pattern).matches(path) == bool(slow_but_plain(pattern).fullmatch(path))


def test_a_mean_pattern_takes_no_longer_than_its_path_is_long() -> None:
    pattern = PathPattern("/" + "**a" * 74 + "b")
    began = time.process_time()
    assert not pattern.matches("/" + "a" * (LONGEST - 1))
    assert time.process_time() - began < 0.5
    assert not PathPattern("/**").matches("/" + "a" * LONGEST)

"""Host names made from servers' names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skybus.compute.hostnames import hostname_of


@pytest.mark.parametrize(
    ("name", "hostname"),
    [
        ("web", "web"),
        ("My Web_Server", "my-web-server"),
        ("web.example.org", "web-example-org"),
        ("-a.", "a"),
        ("a  _ b", "a-b"),
        ("naïve", "nave"),
        ("日本", "server-1"),
        ("...", "server-1"),
        ("x" * 100, "x" * 63),
    ],
)
def test_a_name_becomes_one_that_dns_takes(name: str, hostname: str) -> None:
    assert hostname_of(name, "Server-1") == hostname


@given(st.text(max_size=300))
def test_whatever_the_name_nothing_but_letters_digits_and_dashes_comes_out(name: str) -> None:
    """Security class 15: the host name ends in dnsmasq's configuration and in cloud-init."""
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", hostname_of(name, "server"))

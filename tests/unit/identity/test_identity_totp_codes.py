"""Passcodes against the vectors of RFC 6238, appendix B: the last six of its eight digits."""

from __future__ import annotations

import pytest

from skybus.identity.login.totp import passcode, secret_of, step_at, step_shown

SECRET = b"12345678901234567890"
TEXT = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_a_passcode_is_that_of_the_standard(seconds: int, shown: str) -> None:
    assert passcode(SECRET, step_at(seconds)) == shown


@pytest.mark.parametrize("text", [TEXT, TEXT.lower(), f" {TEXT[:8]} {TEXT[8:]} ", TEXT + "===="])
def test_a_secret_is_read_as_people_and_programs_write_it(text: str) -> None:
    assert secret_of(text) == SECRET


@pytest.mark.parametrize("text", ["", "GEZDGNBV", "not base32!", "1" * 32, "\u00e9" * 32])
def test_what_is_no_secret_or_too_short_is_passed_over(text: str) -> None:
    assert secret_of(text) is None


def test_only_steps_of_the_window_are_looked_at() -> None:
    secrets = [("bad", "!"), ("one", TEXT)]
    assert step_shown(secrets, passcode(SECRET, 100), 100, 1) == ("one", 100)
    assert step_shown(secrets, passcode(SECRET, 99), 100, 1) == ("one", 99)
    assert step_shown(secrets, passcode(SECRET, 98), 100, 1) is None
    assert step_shown(secrets, passcode(SECRET, 101), 100, 1) is None
    assert step_shown(secrets, passcode(SECRET, 100) + " ", 100, 1) is None
    assert step_shown(secrets, "\ud800", 100, 1) is None
    assert step_shown([], "287082", 100, 1) is None

"""A conductor that was deaf for a while does not take its hosts for silent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from skybus import clock
from skybus_conductor.hearing import Hearing

BREAK = timedelta(seconds=30)


class Time:
    """It passes when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)
        self.bus = True
        self.hearing = Hearing(lambda: self.bus)

    def looks(self, seconds: float, *, apart: float = 10) -> list[bool]:
        """What each look says that comes in the next `seconds`."""
        found = []
        for _ in range(int(seconds / apart)):
            self.now += timedelta(seconds=apart)
            found.append(self.hearing.long_enough(BREAK))
        return found


@pytest.fixture
def time() -> Iterator[Time]:
    made = Time()
    clock.use(lambda: made.now)
    yield made
    clock.use(None)


def test_one_who_has_just_come_listens_for_a_minute_first(time: Time) -> None:
    assert time.looks(100) == [False] * 6 + [True] * 4


@pytest.mark.parametrize("what", ["the bus", "the database"])
def test_one_who_was_deaf_listens_for_a_minute_again(time: Time, what: str) -> None:
    assert time.looks(100)[-1]
    if what == "the bus":
        time.bus = False
        assert time.looks(120) == [False] * 12
        time.bus = True
        assert time.looks(60) == [False] * 5 + [True]
    else:
        assert time.looks(120, apart=120) == [False], "the looks could not be taken meanwhile"
        assert time.looks(60) == [False] * 5 + [True]

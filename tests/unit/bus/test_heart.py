"""What a heartbeat says, and when it says everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from skybus.bus.heart import SETTLED_BEATS, WHOLE_BEATS, AgentAlive, Heart
from skybus.messages.volume import PoolReport

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def report(beat: int, *volumes: str) -> PoolReport:
    taken_at = BEGAN + timedelta(seconds=beat)
    return PoolReport(
        host="h1", taken_at=taken_at, started=False, capacity_gib=9, free_gib=9, volumes=list(volumes), exports=[]
    )


def said(heart: Heart, beat: int, *volumes: str) -> object:
    one = heart.beat("volume", report(beat, *volumes))
    heart.told(one)
    return one


def test_a_beat_says_everything_first_and_then_that_nothing_is_new() -> None:
    heart = Heart()
    assert said(heart, 0) == report(0)
    assert said(heart, 1) == AgentAlive(kind="volume", host="h1", taken_at=BEGAN + timedelta(seconds=1), unchanged=True)


def test_a_change_is_told_when_it_has_settled_and_until_then_the_old_picture_is_not_vouched_for() -> None:
    heart = Heart()
    said(heart, 0)
    beats = [said(heart, beat, "v") for beat in range(1, SETTLED_BEATS + 3)]
    assert [getattr(beat, "unchanged", None) for beat in beats] == [False] * SETTLED_BEATS + [None, True]
    assert beats[SETTLED_BEATS] == report(SETTLED_BEATS + 1, "v")


def test_what_did_not_reach_the_broker_is_said_again() -> None:
    heart = Heart()
    assert heart.beat("volume", report(0)) == report(0)
    assert heart.beat("volume", report(1)) == report(1)


def test_everything_is_said_now_and_then_and_when_somebody_asks() -> None:
    heart = Heart()
    whole = [beat for beat in range(2 * WHOLE_BEATS + 1) if isinstance(said(heart, beat), PoolReport)]
    assert whole == [0, WHOLE_BEATS, 2 * WHOLE_BEATS]
    heart.forget()
    assert isinstance(said(heart, 1), PoolReport)

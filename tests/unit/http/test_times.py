"""Times in requests."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from skybus.errors import BadRequest
from skybus.http import times


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-13-01", "", "now"])
def test_what_is_no_time_of_utc_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(BadRequest, match="changes-since"):
        times.parse(text, "changes-since")


def test_an_offset_is_heeded_and_none_means_utc() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert times.parse("2026-01-31T12:00:00") == noon
    assert times.parse("2026-01-31T14:00:00+02:00") == noon

"""Whether the tour met every identity command that the installed client has."""

from __future__ import annotations

import pytest
from tour import Tour, commands

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_every_identity_command_was_used(request: pytest.FixtureRequest, tour: Tour) -> None:
    there = {item.path.name for item in request.session.items}
    parts = {path.name for path in request.path.parent.glob("test_tour_*.py")}
    if not parts <= there or request.config.getoption("-k"):
        pytest.skip("only a part of the tour was asked for")
    assert commands() - tour.used == set()

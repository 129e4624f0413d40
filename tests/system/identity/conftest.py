"""One simulated cloud of processes for all tests of identity as a system."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.process_cloud import ProcessCloud, process_cloud


@pytest.fixture(scope="session")
def processes() -> Iterator[ProcessCloud]:
    """The cloud, with two gateway processes. Whatever a test stops or breaks, it mends before it ends."""
    with process_cloud() as cloud:
        yield cloud

"""One simulated cloud of processes for all tests of identity as a system."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tour import Tour

from support.process_cloud import ProcessCloud, process_cloud


@pytest.fixture(scope="session")
def processes() -> Iterator[ProcessCloud]:
    """The cloud, with two gateway processes. Whatever a test stops or breaks, it mends before it ends."""
    with process_cloud() as cloud:
        yield cloud


@pytest.fixture(scope="session")
def tour(processes: ProcessCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tour]:
    """The openstack command, for all of the tour."""
    made = Tour(processes, tmp_path_factory.mktemp("tour"))
    yield made
    made.close()

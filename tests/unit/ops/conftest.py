"""The machinery of `ops/` is no installed package: put its folder on the path, as its programs do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "ops"))

from lib import processes
from lib.state import State


@pytest.fixture
def state() -> Iterator[State]:
    """A state folder of this test's own; what was started in it is stopped."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="skyunit-"))  # pytest's own folders are too deep for Unix sockets
    made = State(folder)
    made.make()
    made.remember()
    try:
        yield made
    finally:
        for record in processes.recorded(made):
            processes.stop(made, record)
        shutil.rmtree(folder)

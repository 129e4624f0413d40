"""`ops/bench`: the figures of `tests/bench`, on a simulated cloud of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from . import venv
from .state import REPO, State


def bench(arguments: list[str], hosts: int) -> int:
    """Bring the cloud up, measure, take it down whatever happened. The exit status of the measuring."""
    state = State.here().root / "bench"
    environment = {**os.environ, "SKYBUS_STATE": str(state)}

    def ops(name: str, *words: str) -> int:
        return subprocess.run([sys.executable, REPO / "ops" / name, *words], env=environment, check=False).returncode

    try:
        if ops("up", "--simulated", "--workers", "--hosts", str(hosts), "--no-client"):
            return 1
        script = Path(REPO) / "tests" / "bench" / "bench.py"
        words = [venv.program("python"), script, "--clouds", state / "clouds.yaml", "--run", state / "run", *arguments]
        return subprocess.run(words, check=False).returncode
    finally:
        ops("down", "--purge")

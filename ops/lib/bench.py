"""`ops/bench` and `ops/soak`: bring a simulated cloud up on a state of its own, run a program of `tests/bench` on it,
take it down whatever happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import venv
from .state import REPO, State


def measured(module: str, words: Sequence[str], hosts: int, gateways: int = 2) -> int:
    """Run `module` with `words` on a cloud of `hosts` hosts. Its exit status; 1 when there is no cloud to run it on."""
    python_path = os.pathsep.join(str(REPO / folder) for folder in ("tests", "src", "workers"))
    program = [venv.program("python"), "-m", module]

    def run(*arguments: str | Path) -> int:
        return subprocess.run(
            [*program, *arguments], env={**os.environ, "PYTHONPATH": python_path}, check=False
        ).returncode

    if "--help" in words:
        venv.sync("run")
        return run("--help")
    state = State.here().root / "bench"
    environment = {**os.environ, "SKYBUS_STATE": str(state)}
    # Told to end, we take the cloud down before we do.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        shape = ["--hosts", str(hosts), "--gateways", str(gateways)]
        if ops("up", ["--simulated", "--workers", "--no-client", "--no-first-server", *shape], environment):
            return 1
        return run("--state", state, *words)
    finally:
        ops("down", ["--purge"], environment)


def ops(name: str, words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one of our commands to its end. Its exit status."""
    return subprocess.run([sys.executable, REPO / "ops" / name, *words], env=environment, check=False).returncode

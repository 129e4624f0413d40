"""`ops/chaos`: the whole campaign of tests/faults/real, which `ops/test` has no time for."""

from __future__ import annotations

import os
import subprocess

from . import packages, venv
from .state import REPO
from .trouble import Trouble

TESTS = ("tests/faults/real/test_real_kills.py", "tests/faults/real/test_static_stability.py")


def chaos(only: str, without_control: float) -> int:
    """Run it; the table of times is the end of what it prints. The exit status."""
    if os.geteuid() != 0:
        raise Trouble("a real cloud needs root", "`sudo ./ops/chaos`")
    packages.install()
    venv.sync("run", "host", "test")
    words = ["--campaign", f"--without-control={without_control:g}", *(["-k", only] if only else [])]
    argv = [venv.program("python"), "-m", "pytest", *TESTS, *words]
    return subprocess.run(argv, cwd=REPO, check=False).returncode

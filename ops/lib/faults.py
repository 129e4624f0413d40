"""`ops/faults`: the simulation of `tests/faults/simulation`, on a Postgres of its own unless one is named."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import ports, postgres, processes, venv
from .postgres import Postgres
from .state import REPO, State
from .trouble import Trouble

SEEDS = 200
"""How many `ops/test` runs."""


def faults_command() -> int:
    """Run seeds with the arguments of this program. The exit status of the simulation."""
    from .commands import guarded

    return guarded(lambda: faults(sys.argv[1:]))


def faults(arguments: Sequence[str]) -> int:
    """Run seeds; where SKYBUS_TEST_DSN names no Postgres, one is started for it, and removed."""
    if os.environ.get("SKYBUS_TEST_DSN"):
        return simulate(arguments, {})
    folder = Path(tempfile.mkdtemp(prefix="skyfaults-"))
    folder.chmod(0o711)
    state = State(folder / "base")
    try:
        return simulate(arguments, {"SKYBUS_TEST_DSN": _postgres(state)})
    finally:
        for record in processes.recorded(state):
            processes.stop(state, record)
        shutil.rmtree(folder, ignore_errors=True)


def simulate(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Run `python -m simulation` with these arguments until it ends. Its exit status."""
    import subprocess

    path = os.pathsep.join(str(REPO / name) for name in ("src", "workers", "tests", "tests/faults"))
    words = [str(venv.program("python")), "-m", "simulation", *arguments]
    environment = {**os.environ, **env, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
    return subprocess.run(words, env=environment, cwd=REPO, check=False).returncode


def _postgres(state: State) -> str:
    """Start a Postgres that forgets durability; answer its DSN."""
    programs = postgres.installed_programs()
    if programs is None:
        raise Trouble("there is no Postgres", "apt-get install postgresql-15")
    state.make()
    state.remember()
    store = Postgres(state, programs, ports.choose(state, ["postgres"])["postgres"], for_tests=True)
    store.up()
    return store.admin_dsn

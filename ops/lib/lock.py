"""The lock files under `requirements/`."""

from __future__ import annotations

from . import venv
from .shell import run

ORDER = ("uv", "run", "host", "simulated", "test", "client", "conformance")
"""`run` before those that are held to its versions."""
OPTIONS = ("--quiet", "--no-header", "--no-emit-index-url", "--no-emit-find-links", "--generate-hashes")


def lock(names: list[str], *, upgrade: bool) -> None:
    """Resolve each of `names` anew, or all; versions that still fit stay unless `upgrade`."""
    venv.sync("run")
    for name in names or ORDER:
        source, target = venv.LOCKS / f"{name}.in", venv.LOCKS / f"{name}.txt"
        more = ("--upgrade",) if upgrade else ()
        words = [venv.program("uv"), "pip", "compile", *OPTIONS, *more, source.name, "-o", target.name]
        run(words, f"locking {name}", timeout=300, cwd=venv.LOCKS)
        print(f"  {target.name}")

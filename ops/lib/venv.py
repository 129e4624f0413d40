"""The virtual environment of the cloud's own processes: what the lock files say, with hashes, and our own sources."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .shell import run
from .state import REPO, read_json, write_private
from .trouble import Trouble

LOCKS = REPO / "requirements"
SOURCES = (REPO / "src", REPO / "workers")
LAUNCHER = """#!{python}
import sys

from skybus.cli import main

sys.exit(main())
"""


def folder() -> Path:
    """Where the environment is: SKYBUS_VENV, or `.venv` in the repository."""
    return Path(os.environ.get("SKYBUS_VENV") or REPO / ".venv").absolute()


def program(name: str) -> Path:
    """A program of the environment."""
    return folder() / "bin" / name


def sync(*names: str) -> str:
    """Install what the lock files `names` list, unless that was done. Adds, never removes. Returns what it did."""
    with one_at_a_time():
        made = make()
        done = read_json(stamp_path())
        todo = [name for name in names if done.get(name) != digest(name)]
        for name in todo:
            install(name)
            done[name] = digest(name)
            write_private(stamp_path(), json.dumps(done, indent=1))
        show_our_sources()
    return ", ".join((["made"] if made else []) + todo)


def make() -> bool:
    """Create the environment with the Python that runs us. False when there is a working one."""
    if program("python").exists() and program("pip").exists():
        return False
    try:
        run([sys.executable, "-m", "venv", folder()], "making the virtual environment", timeout=120)
    except Trouble as trouble:
        if "ensurepip" in trouble.what or not has_ensurepip():
            raise Trouble(
                "this Python cannot make virtual environments: it lacks ensurepip",
                "`apt-get install python3-venv`, or make one by other means and name it in SKYBUS_VENV",
            ) from None
        raise
    return True


def has_ensurepip() -> bool:
    """Whether the Python that runs us can put pip into an environment."""
    done = subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True, timeout=30, check=False)
    return done.returncode == 0


def install(name: str) -> None:
    """Install one lock file, with uv when it can be had (it takes a fifth of the time), with pip otherwise."""
    lock = LOCKS / f"{name}.txt"
    advice = "check that pip reaches a package registry: `.venv/bin/pip download --no-deps PyYAML`"
    if have_uv():
        words = [program("uv"), "pip", "install", "--quiet", "--python", program("python"), "--compile-bytecode"]
        with contextlib.suppress(Trouble):  # pip may know a registry that uv does not
            run(
                [*words, "--require-hashes", "-r", lock], f"installing requirements/{name}.txt", timeout=900,
                env=uv_settings(), advice=advice,
            )  # fmt: skip
            return
    run(
        [program("pip"), "install", "--quiet", "--require-hashes", "-r", lock],
        f"installing requirements/{name}.txt", timeout=900, advice=advice,
    )  # fmt: skip


def have_uv() -> bool:
    """Have uv in the environment; whether that worked out."""
    if program("uv").exists():
        return True
    with contextlib.suppress(Trouble):
        run(
            [program("pip"), "install", "--quiet", "--no-deps", "--require-hashes", "-r", LOCKS / "uv.txt"],
            "installing uv", timeout=180,
        )  # fmt: skip
    return program("uv").exists()


def uv_settings() -> dict[str, str]:
    """What this machine told pip about registries, in the words of uv, which does not read pip's files."""
    asked = run([program("pip"), "config", "list"], "reading pip's settings", timeout=30)
    told: dict[str, str] = {}
    for line in asked.splitlines():
        key, _, value = line.partition("=")
        told[key.rpartition(".")[2].lower()] = value.strip().strip("'\"")
    names = {
        "index-url": "UV_DEFAULT_INDEX",
        "extra-index-url": "UV_INDEX",
        "find-links": "UV_FIND_LINKS",
        "cert": "SSL_CERT_FILE",
        "trusted-host": "UV_INSECURE_HOST",
    }
    found = {names[key]: value.replace("\\n", " ").strip() for key, value in told.items() if key in names}
    links = [link for link in found.pop("UV_FIND_LINKS", "").split() if "://" in link or Path(link).exists()]
    return found | ({"UV_FIND_LINKS": ",".join(links)} if links else {})


def show_our_sources() -> None:
    """Make `import skybus` and the `skybus` command work, without a build and without the network."""
    site = next(folder().glob("lib/python3*/site-packages"))
    put(site / "skybus-sources.pth", "".join(f"{path}\n" for path in SOURCES), 0o644)
    put(program("skybus"), LAUNCHER.format(python=program("python")), 0o755)


def put(path: Path, text: str, mode: int) -> None:
    """Make `path` hold `text`."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    path.chmod(mode)


def digest(name: str) -> str:
    """Of one lock file and the Python it is for."""
    return hashlib.sha256((LOCKS / f"{name}.txt").read_bytes() + sys.version.encode()).hexdigest()[:16]


def stamp_path() -> Path:
    """Which lock files were installed."""
    return folder() / "skybus-installed.json"


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two clouds of one checkout may come up at once; they share the environment."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / "skybus.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""Install the Debian packages that are missing, and keep their services from starting."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from .shell import run
from .state import REPO
from .trouble import Trouble

LIST = REPO / "ops" / "packages.txt"
POLICY = Path("/usr/sbin/policy-rc.d")
"""Debian asks this program before it starts a service; 101 means "must not"."""


def listed(groups: Sequence[str] | None = None) -> list[str]:
    """The packages of `groups` in ops/packages.txt, all groups without an argument."""
    found: list[str] = []
    group = ""
    for line in LIST.read_text().splitlines():
        word = line.partition("#")[0].strip()
        if word.startswith("["):
            group = word.strip("[]")
        elif word and (groups is None or group in groups):
            found.append(word)
    return found


def missing(groups: Sequence[str] | None = None) -> list[str]:
    """Those of the listed packages that are not installed. Raises Trouble on a machine without dpkg."""
    if not shutil.which("dpkg-query"):
        raise Trouble(
            "this is no Debian: there is no dpkg-query", "use Debian 12, or `./ops/up --simulated` on any Linux"
        )
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${binary:Package} ${db:Status-Status}\n"],
        capture_output=True, text=True, timeout=30, check=False,
    ).stdout  # fmt: skip
    installed = {line.split()[0].partition(":")[0] for line in shown.splitlines() if line.endswith(" installed")}
    return [name for name in listed(groups) if name not in installed]


def install(groups: Sequence[str] | None = None) -> str:
    """Install what is missing. Returns how many those were, in words. Raises Trouble when apt cannot."""
    lacking = missing(groups)
    if not lacking:
        return ""
    if os.geteuid() != 0:
        raise Trouble(
            f"these Debian packages are missing: {' '.join(lacking)}",
            "run `./ops/up` as root, which installs them; `./ops/up --simulated` needs none of them",
        )
    advice = "check the network and /etc/apt, then run it again"
    with services_kept_still():
        if not known_to_apt(lacking):
            run(["apt-get", "-q", "update"], "apt-get update", timeout=300, env=apt_env(), advice=advice)
        try:
            apt_install(lacking, advice)
        except Trouble:  # the lists may be older than the packages on the mirror
            run(["apt-get", "-q", "update"], "apt-get update", timeout=300, env=apt_env(), advice=advice)
            apt_install(lacking, advice)
    return f"installed {len(lacking)}"


def apt_install(names: Sequence[str], advice: str) -> None:
    """Install `names` and what they depend on, nothing more."""
    run(
        ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confold",
         "install", "--no-install-recommends", *names],
        f"installing {len(names)} Debian packages", timeout=1200, env=apt_env(), advice=advice,
    )  # fmt: skip


def known_to_apt(names: Sequence[str]) -> bool:
    """Whether apt's lists have all of `names`; a fresh machine has no lists."""
    shown = run(["apt-cache", "policy", *names], "asking apt", timeout=60)
    return shown.count("Candidate: ") - shown.count("Candidate: (none)") == len(names)


def apt_env() -> dict[str, str]:
    """Nobody is there to answer questions."""
    return {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none", "LC_ALL": "C.UTF-8"}


@contextlib.contextmanager
def services_kept_still() -> Iterator[None]:
    """Inside the block no package starts a service: the cloud runs its own. What was there before comes back."""
    before = POLICY.read_bytes() if POLICY.exists() else None
    mode = POLICY.stat().st_mode & 0o777 if before is not None else 0o755
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        if before is None:
            POLICY.unlink(missing_ok=True)
        else:
            POLICY.write_bytes(before)
            POLICY.chmod(mode)

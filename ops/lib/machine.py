"""Look at the machine before anything is changed, and say at once all that is wrong with it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

from .shell import succeeds
from .state import State
from .trouble import Trouble

GIB = 1024**3
OTHERWISE = "or run `./ops/up --simulated`, which needs neither"


def check(state: State, *, real: bool) -> str:
    """Look at everything that this kind of cloud needs. Raises one Trouble that names all that is missing."""
    looks: list[Callable[[], None]] = [is_linux, lambda: has_disk(state, 6 if real else 1), has_memory]
    if real:
        looks += [is_root, is_amd64, is_debian]
        looks += [may_make_namespaces] if os.geteuid() == 0 else []
    found: list[str] = []
    for look in looks:
        try:
            look()
        except Trouble as trouble:
            found.append(trouble.text())
    if found:
        raise Trouble("this machine cannot run that cloud:\n- " + "\n- ".join(found))
    kvm = "/dev/kvm is there" if Path("/dev/kvm").exists() else "no KVM, guests run in QEMU's TCG"
    return kvm if real else ""


def is_linux() -> None:
    """Namespaces, /proc and epoll are Linux's."""
    if platform.system() != "Linux":
        raise Trouble(f"this is {platform.system()}, not Linux", "use a Linux machine or a virtual one")


def is_root() -> None:
    """Packages, namespaces and guests need root."""
    if os.geteuid() != 0:
        raise Trouble("you are not root", f"`sudo ./ops/up`, {OTHERWISE}")


def is_amd64() -> None:
    """The guest image and the package list are for x86-64."""
    if platform.machine() not in ("x86_64", "AMD64"):
        raise Trouble(f"the machine is {platform.machine()}, not x86_64", f"use another one, {OTHERWISE}")


def is_debian() -> None:
    """Packages come from apt."""
    if not shutil.which("apt-get"):
        raise Trouble("there is no apt-get", f"use Debian 12, {OTHERWISE}")


def may_make_namespaces() -> None:
    """In some containers root may not."""
    if not succeeds(["unshare", "--net", "--mount", "true"]):
        raise Trouble(
            "this root may not make network and mount namespaces",
            f"use a machine of its own or a privileged container, {OTHERWISE}",
        )


def has_disk(state: State, gib: int) -> None:
    """Room for images and guests."""
    place = next(path for path in [state.root, *state.root.parents] if path.exists())
    free = shutil.disk_usage(place).free
    if free < gib * GIB:
        raise Trouble(
            f"{place} has {free / GIB:.1f} GiB free, and {gib} are needed",
            "make room, or set SKYBUS_STATE to a folder on another disk",
        )


def has_memory() -> None:
    """Room for Postgres, RabbitMQ, our processes and a guest."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    if available < GIB:
        raise Trouble(f"{available / GIB:.1f} GiB of memory are available, and 1 is needed", "stop something")

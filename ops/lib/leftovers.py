"""What a cloud or a test leaves on a machine: find what bears its mark, and compare before with after."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

KINDS = ("dnsmasq", "tgtd", "qemu-system", "libvirtd", "virtlogd", "beam.smp", "epmd", "postgres")
"""Programs of which no new one may be left after a test."""
RUN_VARIABLE = "SKYBUS_TEST_RUN"
"""Holds the name of the test run, in the environment of all that it starts."""


@dataclass(frozen=True)
class Mark:
    """How things of one cloud are told from others."""

    root: Path
    """Its state folder."""
    prefix: str
    """How its namespaces and interfaces begin."""


def of(mark: Mark) -> list[str]:
    """Everything on this machine that still bears `mark`, in words."""
    found = [f"{kind}: {thing}" for kind, things in snapshot().items() for thing in things if bears(mark, thing)]
    found += [f"process {pid}: {words}" for pid, words in command_lines().items() if names(mark.root, words)]
    if mark.root.exists():
        found.append(f"folder: {mark.root}")
    return sorted(set(found))


def bears(mark: Mark, thing: str) -> bool:
    """Whether a thing's description shows that it is the cloud's."""
    return names(mark.root, thing) or any(word.startswith(mark.prefix) for word in thing.split())


def names(root: Path, text: str) -> bool:
    """Whether `text` names `root` or something in it, and not merely a folder whose name begins the same."""
    return re.search(rf"{re.escape(str(root))}(?![^/\s,:])", text) is not None


def snapshot(run: str = "") -> dict[str, set[str]]:
    """What there is on the machine now, by kind. With `run`, only those processes that may be of that test run."""
    return {
        "namespace": {path.name for path in Path("/run/netns").glob("*")},
        "interface": set(interfaces()),
        "nft table": set(nft_tables()),
        "mount": set(mounts()),
        "loop device": {f"{device} {file}" for device, file in loop_devices().items()},
        "process": {
            f"{pid} {words}" for pid, words in command_lines().items() if is_kind(words) and may_be_of(run, pid, words)
        },
    }


def appeared(before: dict[str, set[str]], after: dict[str, set[str]]) -> list[str]:
    """What is there after and was not before, in words."""
    return sorted(f"{kind}: {thing}" for kind in after for thing in after[kind] - before.get(kind, set()))


def is_kind(words: str) -> bool:
    """Whether a command line is one of a daemon that a cloud starts. Postgres's children, who write what they do there,
    are not counted: none outlives its parent."""
    program = words.split()[0].rpartition("/")[2] if words.split() else ""
    return program.startswith(KINDS) and not program.endswith(":")


def may_be_of(run: str, pid: int, words: str) -> bool:
    """Whether process `pid` may come from the test run `run`, whose name its children inherit.

    Other people's daemons on the machine have another one, or none. A guest has none either: libvirt gives it a clean
    environment, so any guest may be ours.
    """
    if not run or "qemu-system" in words.split()[0]:
        return True
    with contextlib.suppress(OSError):
        return f"{RUN_VARIABLE}={run}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def command_lines() -> dict[int, str]:
    """Of every process that runs."""
    found: dict[int, str] = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            if words:
                found[int(path.parent.name)] = words
    return found


def processes_in(namespaces: Iterable[Path]) -> dict[int, str]:
    """Processes whose network namespace is one of `namespaces`: pid to program name."""
    wanted: set[int] = set()
    for path in namespaces:
        with contextlib.suppress(OSError):
            wanted.add(path.stat().st_ino)
    found: dict[int, str] = {}
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        with contextlib.suppress(OSError):
            if path.stat().st_ino in wanted:
                pid = path.parts[2]
                found[int(pid)] = Path(f"/proc/{pid}/comm").read_text().strip()
    return found


def interfaces() -> list[str]:
    """Names of the interfaces in the namespace that we run in."""
    return sorted(path.name for path in Path("/sys/class/net").glob("*") if path.is_symlink())


def mounts() -> list[str]:
    """Every mount point that we see."""
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]


def nft_tables() -> list[str]:
    """`family name` of every nftables table in the namespace that we run in."""
    return [line.removeprefix("table ") for line in output(["nft", "list", "tables"]).splitlines()]


def loop_devices() -> dict[str, str]:
    """Loop devices in use and their files."""
    rows = [line.split(maxsplit=1) for line in output(["losetup", "-n", "-O", "NAME,BACK-FILE"]).splitlines()]
    return {row[0]: row[1] if len(row) > 1 else "" for row in rows}


def output(argv: list[str]) -> str:
    """What a program says; nothing when it is not there or may not."""
    if not shutil.which(argv[0]):
        return ""
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False).stdout
    except subprocess.TimeoutExpired:
        return ""

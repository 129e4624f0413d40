"""`ops/status`: the processes of the cloud as the machine sees them, and its inside as `skybus status` sees it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import health, processes, venv
from .hosts import Host
from .processes import Record
from .shell import run
from .state import State
from .trouble import Trouble

Json = dict[str, Any]


def show(state: State) -> int:
    """Print everything. 1 when something that should run does not, or is not ready."""
    if not state.exists():
        print(f"There is no cloud in {state.root}; `./ops/up` makes one.")
        return 1
    records = processes.recorded(state)
    rows = [row(record) for record in records]
    print(f"Cloud {state.prefix} in {state.root}\n")
    print(table(["process", "pid", "up", "memory", "ready"], rows))
    total = sum(pss_kib(record.pid) for record in records if record.alive())
    print(f"\n{len(records)} processes, {total / 1024:.0f} MiB together")
    if state.hosts.joinpath("host-1", "libvirt").exists():
        with contextlib.suppress(Trouble):
            print(f"Guests on host-1: {' '.join(Host(state).domains()) or 'none'}")
    show_inside(state)
    sound = bool(records) and all(cells[4] in ("yes", "-") for cells in rows)
    return 0 if sound else 1


def row(record: Record) -> list[str]:
    """A process as the machine sees it."""
    if not record.alive():
        return [record.name, str(record.pid), "dead", "", "no"]
    ready = ("yes" if health.answers(record.health) else "NO") if record.health else "-"
    return [record.name, str(record.pid), uptime(record), f"{pss_kib(record.pid) / 1024:.0f} MiB", ready]


def uptime(record: Record) -> str:
    """How long it has been running."""
    ticks = os.sysconf("SC_CLK_TCK")
    seconds = int(time.clock_gettime(time.CLOCK_BOOTTIME) - record.started / ticks)
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


def pss_kib(pid: int) -> int:
    """The memory of `pid` and its children, shared pages counted in parts."""
    total = 0
    for one in [pid, *children(pid)]:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total


def children(pid: int) -> list[int]:
    """The children of `pid`, and theirs."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, path.read_text().split()):
                found += [child, *children(child)]
    return found


def show_inside(state: State) -> None:
    """Hosts, queues, dead letters and running operations, when the control plane can say."""
    try:
        said = run(
            [venv.program("skybus"), "status", "--json"], "skybus status", timeout=20,
            env={"SKYBUS_CONFIG": str(state.etc / "skybus.toml")},
        )  # fmt: skip
        inside: Json = json.loads(said)
    except (Trouble, ValueError) as error:
        print(f"\nThe control plane does not say how it is: {error}")
        return
    for title, things in inside.items():
        print(
            f"\n{title.replace('_', ' ')}: {things if not isinstance(things, list | dict) else len(things) or 'none'}"
        )
        print_things(things)


def print_things(things: object) -> None:
    """A list of objects as a table, an object as lines."""
    if isinstance(things, list) and things and isinstance(things[0], dict):
        head = list(things[0])
        print(table(head, [[brief(thing.get(name)) for name in head] for thing in things]))
    elif isinstance(things, dict) and things:
        print(table(["name", "value"], [[key, brief(value)] for key, value in things.items()]))


def brief(value: object) -> str:
    """A value that fits a column."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell."""
    lines = [[str(cell) for cell in cells] for cells in [head, *rows]]
    widths = [max(len(cells[at]) for cells in lines) for at in range(len(head))]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in lines
    )

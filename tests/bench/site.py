"""The cloud that is measured, from the inside: its state folder, database, bus and processes. Linux only."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
import yaml

from skybus.config import Config, load

NOT_OURS = ("postgres", "rabbitmq", "epmd")
"""Processes of the cloud that are not Python."""
TICKS = os.sysconf("SC_CLK_TCK")


class Site:
    """A cloud that `ops/up` brought up in the folder `state`."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.config: Config = load(state / "etc" / "skybus.toml")

    @property
    def dsn(self) -> str:
        """How the control plane connects to the database."""
        return self.config.need_database().dsn

    @property
    def admin_dsn(self) -> str:
        """How a superuser connects to it."""
        secret = json.loads((self.state / "secrets.json").read_text())["postgres-admin"]
        where = urlsplit(self.dsn)
        netloc = f"postgres:{quote(secret)}@{where.hostname}:{where.port}"
        return urlunsplit(where._replace(netloc=netloc))

    def cloud(self) -> dict[str, Any]:
        """The entry of `clouds.yaml`."""
        found: dict[str, Any] = yaml.safe_load((self.state / "clouds.yaml").read_text())["clouds"]["skybus"]
        return found

    def pids(self) -> dict[str, int]:
        """The cloud's processes that run, by name."""
        found = {}
        for path in sorted((self.state / "run").glob("*.pid")):
            pid = int(path.read_text().split()[0])
            if Path(f"/proc/{pid}").exists():
                found[path.stem] = pid
        return found

    def usage(self) -> dict[str, Usage]:
        """What each process uses, its children's included."""
        table = _process_table()
        children: dict[int, list[int]] = {}
        for pid, (parent, _) in table.items():
            children.setdefault(parent, []).append(pid)
        return {name: _tree_usage(pid, table, children) for name, pid in self.pids().items()}

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time so far of each process with its children, without the cost of looking at their memory."""
        table = _process_table()
        children: dict[int, list[int]] = {}
        for pid, (parent, _) in table.items():
            children.setdefault(parent, []).append(pid)
        return {name: sum(table[p][1] for p in _tree(pid, table, children)) for name, pid in self.pids().items()}


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a process and its children use."""

    pss_mib: float
    """Memory, with its part of what it shares."""
    own_mib: float
    """Memory that is no file's and no shared buffer: what leaks. PSS moves when others come and go that run the same
    programs."""
    cpu_s: float
    files: int


def kind_of(name: str) -> str:
    """`gateway-2` is a gateway, `compute.sim` a compute agent."""
    return name.partition(".")[0].rpartition("-")[0] or name.partition(".")[0]


def by_kind(values: dict[str, float]) -> dict[str, float]:
    """Sums by kind of process."""
    sums: dict[str, float] = {}
    for name, value in values.items():
        sums[kind_of(name)] = sums.get(kind_of(name), 0.0) + value
    return sums


def machine() -> dict[str, Any]:
    """What it is measured on, and how busy that was before."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "cpu": models[0].partition(":")[2].strip() if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 1024 / 1024, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def _process_table() -> dict[int, tuple[int, float]]:
    """{pid: (parent, CPU seconds, those of children that ended included)}."""
    table = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            table[int(path.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / TICKS)
    return table


def _tree(pid: int, table: dict[int, tuple[int, float]], children: dict[int, list[int]]) -> list[int]:
    todo, found = [pid], []
    while todo:
        one = todo.pop()
        if one in table:
            found.append(one)
            todo += children.get(one, [])
    return found


def _tree_usage(pid: int, table: dict[int, tuple[int, float]], children: dict[int, list[int]]) -> Usage:
    kib, files = {"Pss:": 0, "Pss_Anon:": 0}, 0
    tree = _tree(pid, table, children)
    for one in tree:
        try:
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()[1:]:
                name, amount = line.split()[:2]
                if name in kib:
                    kib[name] += int(amount)
            files += len(os.listdir(f"/proc/{one}/fd"))
        except OSError:
            continue  # it ended while we looked
    sizes = {"pss_mib": kib["Pss:"] / 1024, "own_mib": kib["Pss_Anon:"] / 1024}
    return Usage(**sizes, cpu_s=sum(table[one][1] for one in tree), files=files)

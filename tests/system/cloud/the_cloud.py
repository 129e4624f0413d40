"""The cloud that `ops/test` brought up, as its users see it (the openstack command, openstacksdk, ssh) and as its
machine does (domains, interfaces, namespaces, targets, files, rows)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import openstack

CLI = Path(sys.executable).with_name("openstack")
SKYBUS = Path(sys.executable).with_name("skybus")
HISTORY = {
    ("bus", "event"),
    ("bus", "outbox"),
    ("network", "agent"),
    ("conductor", "host_report"),
    ("metering", "existence"),
    ("saga", "operation"),
}
"""Tables that tell what was: there a name may stay. Reports of hosts are as old as the last heartbeat."""
TABLES = """
SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
"""
GONE = re.compile(r'"(state|status)":\s*"(DELETED|deleted)"')
"""The row of a thing that was deleted and that lists still show when they are asked for it."""


class Cloud:
    """One running cloud."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.prefix = "sky" + json.loads((state / "cloud.json").read_text())["id"]
        self.host = "host-1"
        self.sdk = openstack.connect(cloud="skybus")

    # --- as its users see it

    def cli(self, *words: str | Path, seconds: float = 120) -> str:
        """What `openstack WORDS` prints."""
        return run([CLI, "--os-cloud", "skybus", *words], seconds)

    def cli_json(self, *words: str | Path, seconds: float = 120) -> Any:
        """The same as JSON."""
        return json.loads(self.cli(*words, "-f", "json", seconds=seconds))

    def console(self, server_id: str) -> str:
        """What the server's console showed so far."""
        return str(self.sdk.compute.get_server_console_output(server_id)["output"])

    def status(self, server_id: str) -> str:
        """The server's status now."""
        return str(self.sdk.compute.get_server(server_id).status)

    # --- as its machine does

    def dhcp_namespace(self, network_id: str) -> str:
        """The namespace in which the network's guests can be reached."""
        return f"{self.prefix}dhcp-{network_id}-{self.host}"

    def virsh(self, *words: str) -> str:
        """What the host's own libvirtd says."""
        sock = self.state / "hosts" / self.host / "libvirt" / "run" / "libvirt-sock"
        return run(["virsh", "-c", f"qemu+unix:///system?socket={sock}", *words])

    def doctor(self) -> str:
        """What `skybus doctor` says."""
        words = [SKYBUS, "--config", self.state / "etc" / "skybus.toml", "doctor"]
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False).stdout

    def traces(self, thing_id: str) -> list[str]:
        """Everything on the machine and in the database that still speaks of `thing_id`, history apart."""
        tap = "tap" + thing_id.replace("-", "")[-11:]
        found = [f"domain {name}" for name in self.virsh("list", "--all", "--name").split() if thing_id in name]
        found += [f"namespace {path.name}" for path in Path("/run/netns").iterdir() if thing_id in path.name]
        found += [f"interface: {line}" for line in self.interfaces() if thing_id in line or tap in line]
        found += [f"target: {line}" for line in self.targets() if thing_id in line]
        found += [f"file {path}" for path in self.files() if thing_id in str(path)]
        found += [f"process {words}" for words in command_lines() if thing_id in words]
        return found + asyncio.run(self.rows(thing_id))

    def interfaces(self) -> list[str]:
        """Every interface of the host, with its alias."""
        said = run(["ip", "-n", f"{self.prefix}-{self.host}", "-j", "link", "show"])
        return [f"{link['ifname']} {link.get('ifalias', '')}" for link in json.loads(said)]

    def targets(self) -> list[str]:
        """Every line about iSCSI targets; none when there is no target daemon."""
        control = self.state / "hosts" / self.host / "volumes" / "tgt" / "control"
        if not control.with_name("control.1").exists():
            return []
        env = {**os.environ, "TGT_IPC_SOCKET": str(control)}
        said = run(["tgtadm", "-C", "1", "--lld", "iscsi", "--op", "show", "--mode", "target"], env=env)
        return said.splitlines()

    def files(self) -> Iterator[Path]:
        """Every file that the host's agents and hypervisor made, logs apart."""
        for path in (self.state / "hosts" / self.host).rglob("*"):
            if "log" not in path.parts:
                yield path

    async def rows(self, thing_id: str) -> list[str]:
        """Rows that hold `thing_id` and are neither history nor marked as deleted."""
        config = tomllib.loads((self.state / "etc" / "skybus.toml").read_text())
        store = await asyncpg.connect(config["database"]["dsn"], timeout=10)
        try:
            found = []
            for table in await store.fetch(TABLES):
                if tuple(table) in HISTORY:
                    continue
                name = f'"{table[0]}"."{table[1]}"'
                query = f"SELECT to_jsonb(t)::text FROM {name} t WHERE t::text LIKE '%' || $1 || '%'"
                rows = await store.fetch(query, thing_id)
                found += [f"row of {name}: {row[0]}" for row in rows if not GONE.search(row[0])]
            return found
        finally:
            await store.close()


class Guest:
    """A server, reached by ssh from its network's namespace."""

    def __init__(self, cloud: Cloud, server_id: str, network_id: str, address: str, key: Path) -> None:
        self.cloud, self.id, self.network_id, self.address, self.key = cloud, server_id, network_id, address, key

    def sh(self, words: str, *, seconds: float = 30, user: str = "cirros") -> str:
        """What the guest's shell prints. Raises AssertionError when it fails."""
        return run(self.ssh(words, user), seconds)

    def ssh(self, words: str, user: str) -> list[str | Path]:
        """The command line."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes",
                   "ConnectTimeout=5", "PreferredAuthentications=publickey"]  # fmt: skip
        flags = [word for option in options for word in ("-o", option)]
        namespace = self.cloud.dhcp_namespace(self.network_id)
        return ["ip", "netns", "exec", namespace, "ssh", "-i", self.key, *flags, f"{user}@{self.address}", words]

    def answers(self) -> bool:
        """Whether it lets us in."""
        done = subprocess.run(self.ssh("true", "cirros"), capture_output=True, timeout=30, check=False)
        return done.returncode == 0

    def up(self) -> Guest:
        """Itself, once it lets us in."""
        wait(f"{self.id} lets us in by ssh", self.answers, 90)
        return self

    def disks(self) -> list[str]:
        """Names of its disks, partitions apart."""
        return sorted(re.findall(r"\b([vs]d[a-z])$", self.sh("cat /proc/partitions"), re.MULTILINE))

    def pings(self, address: str) -> bool:
        """Whether three pings find an answer."""
        return "OK" in self.sh(f"ping -c 3 -W 2 {address} >/dev/null 2>&1 && echo OK || echo NO", user="root")


def run(argv: list[str | Path], seconds: float = 60, env: dict[str, str] | None = None) -> str:
    """What a program prints. Raises AssertionError with what it said when it fails."""
    done = subprocess.run(
        [str(word) for word in argv], capture_output=True, text=True, timeout=seconds, check=False, env=env,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{argv} ended with {done.returncode}: {done.stderr}{done.stdout}"
    return done.stdout


def wait(what: str, done: Callable[[], bool], seconds: float) -> None:
    """Wait until `done()`; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain until {what}"
        time.sleep(0.2)


def command_lines() -> Iterator[str]:
    """Of every process that runs, but us."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words and int(path.parts[2]) != os.getpid():
            yield words

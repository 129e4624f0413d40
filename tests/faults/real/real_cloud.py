"""The real cloud (libvirt and QEMU, Linux bridges, tgt, RabbitMQ, Postgres), and what is on its host."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from shaken_cloud import ShakenCloud

REAL = ("--no-client",)
HOST = "host-1"
SERVERS = "SELECT id::text, state FROM compute.server WHERE NOT deleted AND host = 'host-1'"
PORTS = "SELECT id::text FROM network.port WHERE host = 'host-1' AND server_id IS NOT NULL"
VOLUMES = "SELECT id::text FROM volume.volume WHERE host = 'host-1' AND deleted_at IS NULL"
ATTACHMENTS = "SELECT id::text FROM volume.attachment"


class RealCloud(ShakenCloud):
    """One real cloud in the folder `state`."""

    def __init__(self, state: Path) -> None:
        super().__init__(state, REAL)

    @property
    def prefix(self) -> str:
        """How the names of its namespaces and interfaces begin."""
        return "sky" + str(json.loads((self.state / "cloud.json").read_text())["id"])

    @property
    def host(self) -> Path:
        """The folder of its host."""
        return self.state / "hosts" / HOST

    # --- processes that are not recorded, because an agent or libvirt started them

    def helpers(self, program: str) -> list[int]:
        """Processes called `program` whose arguments name this cloud's folder: of nobody else can they be."""
        return [pid for pid, words in command_lines() if Path(words[0]).name == program and self._is_ours(pid, words)]

    def _is_ours(self, pid: int, words: list[str]) -> bool:
        if any(str(self.state) in word for word in words):
            return True
        try:  # tgtd is told its socket by its environment alone
            return f"TGT_IPC_SOCKET={self.host}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False

    def kill_helpers(self, program: str) -> None:
        """SIGKILL to all of them."""
        for pid in self.helpers(program):
            os.kill(pid, signal.SIGKILL)

    def guest_pid(self, server_id: str) -> int:
        """The QEMU of a server."""
        return next(pid for pid in self.helpers("qemu-system-x86_64") if server_id in " ".join(arguments(pid)))

    # --- what is on the host

    async def disagreements(self) -> list[str]:
        """Where host and database differ, as the host itself says now: doctor has only what agents reported."""
        servers = {row["id"]: row["state"] for row in await self.rows(SERVERS)}
        found = _differ("guest", set(servers), await self.guests())
        running = {id_ for id_, state in servers.items() if state == "ACTIVE"}
        found += _differ("running guest", running, await self.guests("--state-running"))
        found += _differ("tap", {tap_of(row["id"]) for row in await self.rows(PORTS)}, await self.taps())
        found += _differ("volume", {row["id"] for row in await self.rows(VOLUMES)}, self.volumes())
        return found + _differ("export", {row["id"] for row in await self.rows(ATTACHMENTS)}, await self.exports())

    async def guests(self, *which: str) -> set[str]:
        """Servers that libvirt has a guest of."""
        uri = f"qemu+unix:///system?socket={self.host / 'libvirt' / 'run' / 'libvirt-sock'}"
        said = await self.program("virsh", "-c", uri, "list", "--name", *(which or ["--all"]), seconds=30)
        return {name.removeprefix("sky-") for name in said.split()}

    async def taps(self) -> set[str]:
        """Taps in the host's namespace."""
        said = await self.program("ip", "-n", f"{self.prefix}-{HOST}", "-j", "link", "show", seconds=30)
        return {link["ifname"] for link in json.loads(said) if link["ifname"].startswith("tap")}

    def volumes(self) -> set[str]:
        """Volumes that have a file."""
        return {path.name.partition(".")[0] for path in (self.host / "volumes" / "disks").iterdir()}

    async def exports(self) -> set[str]:
        """Attachments that have a target."""
        control = self.host / "volumes" / "tgt" / "control"
        words = ("env", f"TGT_IPC_SOCKET={control}", "tgtadm", "-C", "1", "--lld", "iscsi", "--op", "show", "--mode")
        said = await self.program(*words, "target", seconds=30)
        return {line.rpartition(":")[2] for line in said.splitlines() if line.startswith("Target ")}

    async def rabbitmqctl(self, *words: str) -> str:
        """What rabbitmqctl says of this cloud's broker: the environment that makes it this one's is the node's own."""
        node = Path(f"/proc/{self.pid('rabbitmq')}/environ").read_bytes().split(b"\0")
        ours = [pair.decode() for pair in node if pair.startswith((b"RABBITMQ_", b"ERL_EPMD", b"HOME="))]
        program = "/usr/lib/rabbitmq/bin/rabbitmqctl"
        return await self.program("env", *ours, "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=", program, "-q", *words)


def tap_of(port_id: str) -> str:
    """How the tap of a port is called."""
    return "tap" + port_id.replace("-", "")[-11:]


def _differ(what: str, wanted: set[str], there: set[str]) -> list[str]:
    return [f"{what} {name} is missing" for name in wanted - there] + [
        f"{what} {name} of nobody" for name in there - wanted
    ]


def arguments(pid: int) -> list[str]:
    """The command line of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """Of every process that runs."""
    for path in Path("/proc").glob("[0-9]*"):
        if (words := arguments(int(path.name))) and words[0]:
            yield int(path.name), words

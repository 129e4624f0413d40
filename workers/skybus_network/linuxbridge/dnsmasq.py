"""One dnsmasq: its folder, its process. It outlives the agent, and the next agent takes it over."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import select
import shutil
import signal
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import structlog

from skybus.errors import CommandTroubled
from skybus_network.linuxbridge.dhcp_files import DhcpFiles
from skybus_network.linuxbridge.namespaces import namespace_id, run

log = structlog.get_logger()

PROGRAM = "dnsmasq"
STOP_SECONDS = 5.0
"""How long a server may take to end before it is killed."""
USERS = ("dnsmasq", "nobody")
"""Whom a server may run as, the first that the machine has."""


class Dnsmasq:
    """The DHCP server of one network on this host, in `namespace`, with its files in `folder`."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self._folder = folder
        self._namespace = namespace

    async def apply(self, files: DhcpFiles) -> None:
        """Make a server run and know `files`. Raises `CommandTroubled`."""
        try:
            pid, same_conf = await asyncio.to_thread(self._look_and_write, files)
            if pid is not None and same_conf and self._remembers_nothing_else(files):
                return
            if pid is not None:
                await self._stop(pid)
            await self._start(files)
        except OSError as error:
            raise CommandTroubled(f"could not write the DHCP server's files: {error.strerror}") from error

    def _look_and_write(self, files: DhcpFiles) -> tuple[int | None, bool]:
        """Write what changed, tell a running server of it, and say which runs and whether its configuration is this."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        pid = self.pid()
        same_conf = not _write(self._folder / "conf", files.conf)
        changed = [_write(self._folder / "hosts", files.hosts), _write(self._folder / "options", files.options)]
        if pid is not None and any(changed):
            _signal(pid, signal.SIGHUP)
        return pid, same_conf

    def _remembers_nothing_else(self, files: DhcpFiles) -> bool:
        """Whether the running server can give these addresses: it keeps an address for the card that had it before,
        also when its files name another. Only a new server forgets."""
        path = self._folder / "given"
        try:
            given: dict[str, str] = json.loads(path.read_text())
        except (OSError, ValueError):
            return False
        if any(given.get(address, mac) != mac for address, mac in files.given.items()):
            return False
        if files.given.items() - given.items():
            _write(path, json.dumps(given | files.given))
        return True

    async def _start(self, files: DhcpFiles) -> None:
        argv = [PROGRAM, *self._arguments()]
        await run(argv, f"start the DHCP server in {self._namespace}", namespace=self._namespace)
        _write(self._folder / "given", json.dumps(files.given))
        log.info("dhcp_server_started", namespace=self._namespace)

    def _arguments(self) -> list[str]:
        return [
            f"--conf-file={self._folder / 'conf'}",
            f"--pid-file={self._folder / 'pid'}",
            f"--dhcp-hostsfile={self._folder / 'hosts'}",
            f"--dhcp-optsfile={self._folder / 'options'}",
            f"--log-facility={self._folder / 'log'}",
            f"--user={self._user()}",
        ]

    def _user(self) -> str:
        """Whom the server runs as: nobody important, if such a user can reach the files to read them again."""
        known = {user.pw_name for user in pwd.getpwall()}
        open_to_all = all(path.stat().st_mode & stat.S_IXOTH for path in [self._folder, *self._folder.parents])
        return next((user for user in USERS if user in known), "root") if open_to_all else "root"

    async def remove(self) -> None:
        """End the server and remove its files. Content to find neither. Raises `CommandTroubled`."""
        pid = await asyncio.to_thread(self.pid)
        if pid is not None:
            await self._stop(pid)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def pid(self) -> int | None:
        """The running server's process, or None. A process is it when its arguments name our pid file and it is in
        our namespace: a number alone may long be another's."""
        with suppress(OSError, ValueError):
            pid = int((self._folder / "pid").read_text())
            if self._is_ours(pid):
                return pid
        if namespace_id(self._namespace) is None:
            return None
        # Its file may be lost though it runs.
        return next((pid for pid in _processes() if self._is_ours(pid)), None)

    def _is_ours(self, pid: int) -> bool:
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            inside = os.stat(f"/proc/{pid}/ns/net").st_ino
        except OSError:
            return False
        named = f"--pid-file={self._folder / 'pid'}".encode() in arguments
        return named and Path(os.fsdecode(arguments[0])).name == PROGRAM and inside == namespace_id(self._namespace)

    async def _stop(self, pid: int) -> None:
        ended = await asyncio.to_thread(_end, pid)
        if not ended:
            raise CommandTroubled(f"the DHCP server in {self._namespace} (process {pid}) does not end")


def _processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _end(pid: int) -> bool:
    """Ask a process to end, then make it; whether it ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            if ended.poll(STOP_SECONDS * 1000):
                return True
        return False
    finally:
        os.close(handle)


def _write(path: Path, text: str) -> bool:
    """Put `text` at `path`, whole or not at all, readable by all; whether that changed anything."""
    with suppress(FileNotFoundError):
        if path.read_text() == text:
            return False
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(path)
    return True

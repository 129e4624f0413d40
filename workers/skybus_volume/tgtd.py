"""The life of a host's own tgtd: started by the agent, found again after the agent's restart, watched, and stopped only
on request. It outlives the agent, because guests have disks on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import structlog

from skybus.errors import CommandTroubled
from skybus_volume.durable import make_folder, write_file
from skybus_volume.tgt_control import LONGEST_PATH, Mode, Op, TgtControl, TgtSilent

log = structlog.get_logger()

CONTROL_PORT = 1
"""Suffix of the socket's name. The socket's path keeps several daemons apart; the number need not."""
THREADS_PER_LUN = "4"
START_SECONDS = 15.0
STOP_SECONDS = 10.0


class TargetDaemonFailed(CommandTroubled):
    """The host's tgtd could not be brought up; the reason says what stood in the way."""

    code = "volume.target-daemon-failed"


class Tgtd:
    """One tgtd with its folder: socket, lock, log, and the recorded pid."""

    def __init__(self, folder: Path, address: str, port: int, namespace: str | None) -> None:
        self._folder = folder
        self._namespace = namespace
        self.portal = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        self.control = TgtControl(folder / f"control.{CONTROL_PORT}")
        self.pid_file = folder / "tgtd.pid"
        self._log_file = folder / "tgtd.log"

    async def ensure(self) -> bool:
        """See to it that the daemon runs and serves our portal; True when it had to be started.

        Raises TargetDaemonFailed, TgtSilent.
        """
        await asyncio.to_thread(self._prepare)
        pid = await asyncio.to_thread(self.control.pid)
        if pid is not None and not await self._serves_portal():
            if await self.control.ask("show its targets", Mode.TARGET, Op.SHOW):
                # Moving it would cut off guests; that is for the operator to decide.
                raise TargetDaemonFailed(
                    f"the target daemon (process {pid}) serves another address than {self.portal}: stop it first"
                )
            await self.stop()
            pid = None
        started = pid is None
        if pid is None:
            pid = await self._start()
        await asyncio.to_thread(write_file, self.pid_file, b"%d\n" % pid)
        log.info("target_daemon_runs", pid=pid, portal=self.portal, started=started)
        return started

    async def gone(self) -> None:
        """Return when the daemon is not running, which may be at once. Costs nothing while it runs."""
        pid = await asyncio.to_thread(self.control.pid)
        if pid is not None:
            await _ended(pid)

    async def stop(self) -> None:
        """End the daemon with all its sessions. Content to find none. Raises TargetDaemonFailed, TgtSilent.

        It holds no data of its own: what guests wrote is in the files already. And it ignores SIGTERM while it has
        targets, so that SIGKILL it is.
        """
        pid = await asyncio.to_thread(self.control.pid)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            try:
                await asyncio.wait_for(_ended(pid), STOP_SECONDS)
            except TimeoutError as error:
                raise TargetDaemonFailed(f"the target daemon (process {pid}) could not be stopped") from error
            log.info("target_daemon_stopped", pid=pid)
        for path in (self.control.path, self.pid_file):
            path.unlink(missing_ok=True)

    def _prepare(self) -> None:
        if not self.control.usable:
            raise TargetDaemonFailed(
                f"the path of the target daemon's socket, {self.control.path}, is longer than {LONGEST_PATH} bytes: "
                "choose a shorter host.state_dir"
            )
        make_folder(self._folder)

    async def _start(self) -> int:
        """Start the daemon and wait until it answers and its iSCSI side is ready."""
        pid = await asyncio.to_thread(self._spawn)
        try:
            async with asyncio.timeout(START_SECONDS):
                while await asyncio.to_thread(self.control.pid) is None:
                    if _reaped(pid):
                        raise TargetDaemonFailed(f"the target daemon ended at once: {self._last_words()}")
                    await asyncio.sleep(0.02)
                serves = await self._serves_portal()
            if not serves:
                raise TargetDaemonFailed(f"the target daemon cannot serve {self.portal}: {self._last_words()}")
        except (TimeoutError, TargetDaemonFailed, TgtSilent) as error:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                await asyncio.wait_for(_ended(pid), STOP_SECONDS)
            if isinstance(error, TimeoutError):
                raise TargetDaemonFailed(
                    f"the target daemon did not come up in {START_SECONDS:g} seconds: {self._last_words()}"
                ) from error
            raise
        return pid

    async def _serves_portal(self) -> bool:
        """Whether initiators reach the daemon where we say. One whose address was taken runs on without any."""
        shown = await self.control.ask("show its portal", Mode.PORTAL, Op.SHOW)
        return f"Portal: {self.portal}," in shown

    def _spawn(self) -> int:
        """Start the process in a session of its own, so that no signal to the agent's group reaches it."""
        inside = ["ip", "netns", "exec", self._namespace] if self._namespace else []
        argv = [
            *inside,
            "tgtd",
            "-f",
            "-C",
            str(CONTROL_PORT),
            "-t",
            THREADS_PER_LUN,
            "--iscsi",
            f"portal={self.portal}",
        ]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "TGT_IPC_SOCKET": str(self.control.path.with_suffix("")),
        }
        if self._log_file.exists():
            self._log_file.replace(self._log_file.with_suffix(".log.1"))
        files = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(self._log_file), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        try:
            return os.posix_spawnp(argv[0], argv, environment, file_actions=files, setsid=True)
        except OSError as error:
            raise TargetDaemonFailed(f"{argv[0]} cannot be started: {error.strerror}") from error

    def _last_words(self) -> str:
        """What the daemon's log says of its trouble, for an error's reason. tgtd does not log secrets."""
        try:
            lines = self._log_file.read_text(errors="replace").strip().splitlines()
        except OSError:
            return "it left no log"
        # tgtd goes on talking after it failed to open its address, so that the cause is seldom in the last lines.
        telling = [line for line in lines if "iscsi_" in line] or lines
        return "; ".join(telling[-3:]) or "it said nothing"


async def _ended(pid: int) -> None:
    """Return when the process has ended, ours or not, and leave no zombie of ours."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(fd, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
    _reaped(pid)


def _reaped(pid: int) -> bool:
    """Whether a process that we started has ended; False for one that we did not start."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False

"""Start, find and stop the long-running processes of a cloud, by recorded pid only.

A record keeps the pid together with the time at which that process started, so that a pid which the kernel has given to
somebody else is never taken for ours.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .shell import merged, tail
from .state import State, write_private
from .trouble import Trouble


@dataclass(frozen=True)
class Record:
    """A process that we started."""

    name: str
    pid: int
    started: int
    """Clock ticks since boot, as the kernel has it."""
    fingerprint: str
    """Of its command line and configuration; another one means that it has to be restarted."""
    stop_signal: int = signal.SIGTERM
    grace: float = 15.0
    """Seconds that it may take to stop."""
    health: str = ""
    """Address that answers 200 when it is ready, or empty."""
    boot: str = ""
    """Which boot of the machine it was started in."""

    def alive(self) -> bool:
        """Whether that very process still runs."""
        return self.boot == boot_id() and start_time(self.pid) == self.started


def start(
    state: State,
    name: str,
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    depends: str = "",
    stop_signal: int = signal.SIGTERM,
    grace: float = 15.0,
    health: str = "",
    cwd: Path | None = None,
    log_name: str = "",
) -> Record:
    """Have `name` running: left alone when it runs with the same command and `depends`, restarted otherwise."""
    words = [str(word) for word in argv]
    print_of = hashlib.sha256(json.dumps([words, depends, health]).encode()).hexdigest()[:16]
    record = find(state, name)
    if record and record.alive():
        if record.fingerprint == print_of:
            return record
        stop(state, record)
    log = state.log / (log_name or f"{name}.log")
    with log.open("ab") as out:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=merged(env),
            cwd=cwd or state.root,
            start_new_session=True,
        )
    record = Record(name, child.pid, start_time(child.pid) or 0, print_of, stop_signal, grace, health, boot_id())
    # The pid alone on the first line, as everybody's tools expect of a pid file; ours read the second.
    write_private(record_path(state, name), f"{record.pid}\n{json.dumps(asdict(record))}\n")
    child.returncode = 0  # we keep its record, not this object: it outlives us, and Popen must not warn about that
    return record


def record_path(state: State, name: str) -> Path:
    """Where the record of `name` lies."""
    return state.run / f"{name}.pid"


def find(state: State, name: str) -> Record | None:
    """The record of `name`, running or not."""
    path = record_path(state, name)
    try:
        return Record(**json.loads(path.read_text().partition("\n")[2]))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise Trouble(f"{path} is not one of our pid files", "remove the file, after a look what runs") from None


def recorded(state: State) -> list[Record]:
    """Every process that was started and not stopped, by name."""
    return [found for path in sorted(state.run.glob("*.pid")) if (found := find(state, path.stem))]


def stop(state: State, record: Record) -> None:
    """End `record`'s process: its stop signal, then SIGKILL for all of its session after its grace time."""
    if record.alive():
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, record.stop_signal)
        if not gone(record, record.grace):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(record.pid, signal.SIGKILL)
            if not gone(record, 10):
                raise Trouble(f"{record.name} (pid {record.pid}) does not end, not even killed", "reboot the machine")
    record_path(state, record.name).unlink(missing_ok=True)


def gone(record: Record, seconds: float) -> bool:
    """Wait until the process has ended, at most `seconds`; False when it runs on."""
    end = time.monotonic() + seconds
    while record.alive():
        reap(record.pid)
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def reap(pid: int) -> None:
    """Take the exit status of a child of ours that ended; content when it is none."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def start_time(pid: int) -> int | None:
    """When `pid` started, in ticks since boot; None when there is no such process or only its exit status is left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def boot_id() -> str:
    """Of the machine's present boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def last_words(state: State, name: str, lines: int = 15) -> str:
    """The end of the newest log of `name`."""
    logs = sorted(state.log.glob(f"{name}.*"), key=lambda path: path.stat().st_mtime)
    return tail(logs[-1].read_text(errors="replace"), lines) if logs else "   | (no log)"

"""Processes are known by pid and start time, left alone when nothing changed, and stopped for certain."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time

from lib import processes
from lib.state import State

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]


def test_a_running_process_is_left_alone(state: State) -> None:
    first = processes.start(state, "sleeper", SLEEP, depends="a")
    assert processes.start(state, "sleeper", SLEEP, depends="a") == first


def test_a_dead_process_is_started_again(state: State) -> None:
    first = processes.start(state, "sleeper", SLEEP)
    processes.stop(state, first)
    assert processes.start(state, "sleeper", SLEEP).pid != first.pid


def test_a_changed_configuration_restarts_the_process(state: State) -> None:
    first = processes.start(state, "sleeper", SLEEP, depends="a")
    second = processes.start(state, "sleeper", SLEEP, depends="b")
    assert (first.alive(), second.alive()) == (False, True)


def test_a_pid_that_belongs_to_somebody_else_now_is_not_killed(state: State) -> None:
    stranger = subprocess.Popen(SLEEP)
    try:
        ours = processes.start(state, "sleeper", SLEEP)
        processes.stop(state, dataclasses.replace(ours, pid=stranger.pid, started=-1))
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait(10)


def test_a_record_of_an_earlier_boot_is_not_alive(state: State) -> None:
    ours = processes.start(state, "sleeper", SLEEP)
    assert not dataclasses.replace(ours, boot="an earlier one").alive()


def test_a_process_that_ignores_its_stop_signal_is_killed_after_its_grace(state: State) -> None:
    record = processes.start(state, "deaf", DEAF, grace=0.3)
    end = time.monotonic() + 20
    while "deaf" not in processes.last_words(state, "deaf"):
        assert time.monotonic() < end
        time.sleep(0.02)
    processes.stop(state, record)
    assert not record.alive()
    assert processes.recorded(state) == []

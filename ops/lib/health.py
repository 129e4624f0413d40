"""Wait until something is ready, and notice when it dies instead."""

from __future__ import annotations

import http.client
import time
import urllib.request
from collections.abc import Callable

from . import processes
from .processes import Record
from .state import State
from .trouble import Trouble


def wait(state: State, record: Record, ready: Callable[[], bool], timeout: float) -> None:
    """Return when `ready` says so. Raises Trouble with the end of the log when `record` dies or `timeout` s pass."""
    end = time.monotonic() + timeout
    pause = 0.02
    while not ready():
        if not record.alive():
            processes.reap(record.pid)
            words = processes.last_words(state, record.name)
            raise Trouble(f"{record.name} ended while it started; its last words:\n{words}", f"logs: {state.log}")
        if time.monotonic() > end:
            words = processes.last_words(state, record.name)
            raise Trouble(f"{record.name} is not ready after {timeout:.0f} s; its log:\n{words}", f"logs: {state.log}")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.25)


def answers(url: str, timeout: float = 2.0) -> bool:
    """Whether `url` answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def until(done: Callable[[], bool], seconds: float) -> bool:
    """Wait until `done()`, at most `seconds`. Whether it came to pass."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() >= end:
            return False
        time.sleep(0.1)
    return True

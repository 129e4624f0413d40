"""Logs tell of the work and never stop it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import logging
import structlog
from skybus import log
log.configure("test")
structlog.get_logger().warning("first", size="x" * 100_000)
logging.getLogger("library").warning("second")
structlog.get_logger().error("third")
open(0, closefd=False).read()
"""


def test_a_log_on_a_full_disk_stops_nobody() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], input="", stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    # What is left in the buffer cannot be written at the end either, and that alone is said.
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in (0, 120)

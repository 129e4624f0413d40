"""The openstack command, kept loaded: reads a command a line from stdin (a JSON list of words), answers a line with its
exit status and what it printed. Each command runs as it does at a terminal: it reads clouds.yaml, and logs in."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys

from openstackclient.shell import OpenStackShell
from osc_lib.clientmanager import ClientCache, ClientManager


def forget() -> None:
    """Let go of what a process of its own would not have: who ran the last command, and where it wrote."""
    for cache in vars(ClientManager).values():
        if isinstance(cache, ClientCache):
            cache._handle = None
    logging.getLogger().handlers.clear()


def answer(words: list[str]) -> dict[str, object]:
    """What the command did."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code: object = OpenStackShell().run(words)
        except SystemExit as end:
            code = end.code
    forget()
    return {"code": code or 0, "out": out.getvalue(), "err": err.getvalue()}


def main() -> None:
    """Until stdin ends."""
    answers = sys.stdout
    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()

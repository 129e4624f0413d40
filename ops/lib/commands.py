"""The command lines of the programs in `ops/`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from .shape import Shape
from .state import State
from .trouble import Trouble


def guarded(work: Callable[[], int | None]) -> int:
    """Run `work`; show trouble as text instead of a traceback. The exit status."""
    try:
        return work() or 0
    except Trouble as trouble:
        print(f"\n{trouble.text()}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the interpreter flushes it at its end
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; run it again to go on", file=sys.stderr)
        return 130


def up_command() -> int:
    """`ops/up`."""
    from .bring_up import Wishes, up

    parser = argparse.ArgumentParser(prog="ops/up", description="Bring a cloud up on this machine, or repair it.")
    parser.add_argument("--simulated", action="store_true", help="simulated hypervisor, disks and networks: no root")
    parser.add_argument("--workers", action="store_true", help="with --simulated: processes over RabbitMQ, not one")
    parser.add_argument("--hosts", type=int, default=4, metavar="N", help="with --simulated: how many hosts (4)")
    parser.add_argument("--gateways", type=int, default=2, metavar="N", help="processes that share the API's port (2)")
    parser.add_argument("--port", type=int, metavar="N", help="port of the API; any free one otherwise")
    parser.add_argument("--restart", action="store_true", help="restart our processes, to take up changed code")
    parser.add_argument("--no-first-server", action="store_true", help="leave the cloud empty")
    parser.add_argument("--no-client", action="store_true", help="do not install the openstack command")
    asked = parser.parse_args()
    shape = Shape.asked(simulated=asked.simulated, workers=asked.workers, hosts=asked.hosts, gateways=asked.gateways)
    wishes = Wishes(shape, asked.port, not asked.no_first_server, not asked.no_client, asked.restart)
    return guarded(lambda: up(State.here(), wishes))


def down_command() -> int:
    """`ops/down`."""
    from .take_down import down

    parser = argparse.ArgumentParser(prog="ops/down", description="Stop the cloud; guests are shut down too.")
    parser.add_argument("--purge", action="store_true", help="remove the cloud and all that it made on this machine")
    asked = parser.parse_args()
    return guarded(lambda: down(State.here(), purge=asked.purge))


def status_command() -> int:
    """`ops/status`."""
    from .status import show

    parser = argparse.ArgumentParser(prog="ops/status", description="Show what runs, and how it is.")
    parser.parse_args()
    return guarded(lambda: show(State.here()))


def test_command() -> int:
    """`ops/test`."""
    from .testing import PARTS, test

    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    parser = argparse.ArgumentParser(
        prog="ops/test", description="Run all checks and tests. Arguments after `--` go to pytest."
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all without any")
    parser.add_argument("--strict", action="store_true", help="also fail on left-overs that do not bear our name")
    asked = parser.parse_args(sys.argv[1:at])
    for part in asked.parts:
        if part not in PARTS:
            parser.error(f"no part is called {part}")
    return guarded(lambda: test(asked.parts or list(PARTS), sys.argv[at + 1 :], strict=asked.strict))


def fresh_check_command() -> int:
    """`ops/fresh-check`."""
    from .fresh import fresh_check

    parser = argparse.ArgumentParser(prog="ops/fresh-check", description="Try ops/up on a clean minimal Debian 12.")
    parser.add_argument("--keep", action="store_true", help="leave the tried root in place, to look around in it")
    parser.add_argument("--if-changed", action="store_true", help="only when what it proves was changed lately")
    asked = parser.parse_args()
    return guarded(lambda: fresh_check(keep=asked.keep, if_changed=asked.if_changed))


def conformance_command() -> int:
    """`ops/conformance`."""
    from .conformance import SERVICES, conform

    parser = argparse.ArgumentParser(prog="ops/conformance", description="Hold the running cloud against Tempest.")
    known = ", ".join(SERVICES)
    parser.add_argument(
        "lists", nargs="*", metavar="list", help=f"of {known}, interop, or a file; without any, {known}"
    )
    parser.add_argument("--regex", default="", help="instead of lists: every test of Tempest that matches")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="how many tests at a time (2)")
    asked = parser.parse_args()
    return guarded(lambda: conform(State.here(), asked.lists, asked.regex, asked.workers))


def lock_command() -> int:
    """`ops/lock`."""
    from .lock import ORDER, lock

    parser = argparse.ArgumentParser(prog="ops/lock", description="Write the lock files under requirements/.")
    parser.add_argument("names", nargs="*", choices=[*ORDER, []], metavar="NAME", help=f"of {', '.join(ORDER)}; all")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    asked = parser.parse_args()
    return guarded(lambda: lock(list(asked.names), upgrade=asked.upgrade))


def bench_command() -> int:
    """`ops/bench`."""
    from .bench import measured

    parser = argparse.ArgumentParser(
        prog="ops/bench",
        description="Measure a simulated cloud of its own. Other arguments go to the program in tests/bench;"
        " `--help` after `--` shows them.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--hosts", type=int, metavar="N", help="simulated hosts (1000; with --heartbeats reporting ones)"
    )
    parser.add_argument("--gateways", type=int, default=2, metavar="N", help="processes that share the API's port (2)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--heartbeats", action="store_true", help="instead: the reports of many hosts (10000)")
    which.add_argument("--yardstick", metavar="PROGRAM", help="instead: run cloudbench.py at this path, as a table")
    asked, words = parser.parse_known_args()
    words = [word for word in words if word != "--"]
    if asked.heartbeats:
        words = ["--hosts", str(asked.hosts or 10_000), *words]
        return guarded(lambda: measured("bench.heartbeats", words, 4, asked.gateways))
    if asked.yardstick:
        words = ["--program", os.path.abspath(asked.yardstick), *words]
        return guarded(lambda: measured("bench.yardstick", words, asked.hosts or 8, asked.gateways))
    return guarded(lambda: measured("bench", words, asked.hosts or 1000, asked.gateways))


def soak_command() -> int:
    """`ops/soak`."""
    from .bench import measured

    parser = argparse.ArgumentParser(
        prog="ops/soak",
        description="Churn on a simulated cloud of its own, and look whether anything grows. Other arguments go to the"
        " program in tests/bench; `--help` after `--` shows them.",
        allow_abbrev=False,
    )
    parser.add_argument("--hosts", type=int, default=20, metavar="N", help="simulated hosts (20)")
    parser.add_argument("--gateways", type=int, default=2, metavar="N", help="processes that share the API's port (2)")
    asked, words = parser.parse_known_args()
    words = [word for word in words if word != "--"]
    return guarded(lambda: measured("bench.soak", words, asked.hosts, asked.gateways))


def rotate_keys_command() -> int:
    """`ops/rotate-keys`."""
    from .rotate_keys import KINDS, rotate

    parser = argparse.ArgumentParser(prog="ops/rotate-keys", description="Exchange the keys of the running cloud.")
    parser.add_argument("kinds", nargs="*", metavar="kind", help=f"of {', '.join(KINDS)}; all without any")
    asked = parser.parse_args()
    for kind in asked.kinds:
        if kind not in KINDS:
            parser.error(f"there are no keys of {kind}")
    return guarded(lambda: rotate(State.here(), asked.kinds or KINDS))


def keep_command() -> int:
    """`ops/keep`."""
    from .keep import keep

    parser = argparse.ArgumentParser(
        prog="ops/keep", description="Bring back whatever of the cloud dies, until Ctrl-C."
    )
    parser.parse_args()
    return guarded(lambda: keep(State.here()))


def chaos_command() -> int:
    """`ops/chaos`."""
    from .chaos import chaos

    parser = argparse.ArgumentParser(prog="ops/chaos", description="Break a real cloud of its own in every known way.")
    parser.add_argument("--only", default="", metavar="WORDS", help="faults whose names have them, as pytest's -k")
    parser.add_argument("--static-stability", type=float, default=600, metavar="SECONDS",
                        help="how long guests live without control plane (600)")  # fmt: skip
    asked = parser.parse_args()
    return guarded(lambda: chaos(asked.only, asked.static_stability))

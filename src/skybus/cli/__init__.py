"""The `skybus` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from skybus import log
from skybus.bus.transport import BusError
from skybus.config import ConfigError
from skybus.errors import CloudError

WORKERS = ("conductor", "scheduler", "compute", "volume", "network", "metering")


def parser() -> argparse.ArgumentParser:
    """Every subcommand; each is a function in a module of this package, imported when it is called."""
    top = argparse.ArgumentParser(prog="skybus", description="Skybus, a cloud operating system.")
    top.add_argument("--config", help="path of skybus.toml (default: SKYBUS_CONFIG)")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    commands.add_parser("migrate", help="bring the database's schema up to date")
    bootstrap = commands.add_parser("bootstrap", help="create the admin, roles, catalog, flavors; safe to repeat")
    bootstrap.add_argument("--password-file", required=True, help="file with the admin's password")
    topology = commands.add_parser("topology", help="declare the exchanges and queues on the broker")
    topology.add_argument("--host", action="append", default=[], help="a host with agents; may be given many times")

    keys = commands.add_parser("keys", help="steps of a key rotation; ops/rotate-keys takes them all")
    keys.add_argument("kind", choices=("tokens", "credentials"))
    keys.add_argument("steps", nargs="+", choices=("stage", "promote", "reseal", "retire"))

    commands.add_parser("gateway", help="run a gateway")
    worker = commands.add_parser("worker", help="run a worker")
    worker.add_argument("name", choices=WORKERS)
    commands.add_parser("all", help="run everything in one process, on the memory transport")

    status = commands.add_parser("status", help="hosts, queues, dead letters, running operations")
    status.add_argument("--json", action="store_true")
    trace = commands.add_parser("trace", help="the whole story of a request")
    trace.add_argument("request_id")
    trace.add_argument("--logs", help="folder of the processes' logs (default: log beside the configuration)")
    doctor = commands.add_parser("doctor", help="compare database, hypervisors, networks and volumes")
    doctor.add_argument("--json", action="store_true")
    doctor.add_argument("--repair", action="store_true", help="mend what is safe to mend, then look again")
    doctor.add_argument(
        "--wait", type=float, default=30.0, metavar="SECONDS", help="how long a repair may take to show (default: 30)"
    )
    operations = commands.add_parser("operations", help="what was accepted; what to do where an undo did not work")
    operations.add_argument("action", choices=("list", "show", "retry", "acknowledge"))
    operations.add_argument("id", nargs="?")
    operations.add_argument("--reason", help="why nothing is left to do; kept with an acknowledgement")
    operations.add_argument("--acknowledged", action="store_true", help="list those that were acknowledged, too")
    operations.add_argument("--json", action="store_true")
    letters = commands.add_parser("dead-letters", help="messages that nobody could handle")
    letters.add_argument("action", choices=("list", "show", "replay", "discard"))
    letters.add_argument("id", nargs="?")
    letters.add_argument("--reason", help="why nobody wants it sent again; kept with a discarded one")
    letters.add_argument("--replayed", action="store_true", help="list those that were replayed or discarded, too")
    policy = commands.add_parser("policy", help="every policy rule with its default, as a policy.yaml to begin with")
    policy.add_argument("--check", metavar="FILE", help="print nothing but what is wrong with a policy.yaml")
    schemas = commands.add_parser("schemas", help="write the message schemas from the message classes")
    schemas.add_argument("--check", action="store_true", help="write nothing; fail when a file differs")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; answer its exit status."""
    args = parser().parse_args(argv)
    try:
        return _run(args)
    except (ConfigError, CloudError, BusError) as error:
        sys.stderr.write(f"skybus {args.command}: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _run(args: argparse.Namespace) -> int:
    if args.command in ("gateway", "worker", "all"):
        from skybus.cli import run

        return run.main(args)
    # What a command has to say is on standard output; its log is beside it.
    log.configure(args.command, stream=sys.stderr)
    if args.command in ("migrate", "bootstrap", "topology", "schemas"):
        from skybus.cli import setup

        return setup.main(args)
    if args.command == "keys":
        from skybus.cli import keys

        return keys.main(args)
    if args.command == "policy":
        from skybus.cli import policy

        return policy.main(args)
    if args.command == "doctor":
        from skybus.cli import doctor

        return doctor.main(args)
    if args.command == "operations":
        from skybus.cli import operations

        return operations.main(args)
    from skybus.cli import look

    return look.main(args)


if __name__ == "__main__":
    sys.exit(main())

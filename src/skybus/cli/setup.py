"""`skybus migrate`, `bootstrap`, `topology`, `schemas`: what has to be there before the processes run."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
import yaml

from skybus.bus import schemas
from skybus.bus.process import transport_of
from skybus.bus.transport import BusError, Queue
from skybus.config import Config, load
from skybus.store import Store
from skybus.store.migrations import MigrationError, migrate

AGENT_KINDS = ("compute", "volume", "network")


def main(args: argparse.Namespace) -> int:
    """Run one of them."""
    if args.command == "schemas":
        return write_schemas(check=args.check)
    config = load(args.config)
    if args.command == "migrate":
        return _migrate(config)
    if args.command == "bootstrap":
        password = Path(args.password_file).read_text().strip()
        asyncio.run(_bootstrap(config, password))
        return 0
    try:
        asyncio.run(_topology(config, args.host))
    except BusError as error:
        sys.stderr.write(f"skybus topology: {error}\n")
        return 1
    return 0


def _migrate(config: Config) -> int:
    try:
        applied = asyncio.run(migrate(config.need_database().dsn))
    except MigrationError as error:
        sys.stderr.write(f"skybus migrate: {error}\n")
        return 1
    print("\n".join(applied) if applied else "nothing to apply")
    return 0


async def _bootstrap(config: Config, password: str) -> None:
    from skybus.gateway.bootstrap import bootstrap

    store = Store(config.need_database(), "bootstrap")
    await store.open()
    try:
        async with store.transaction() as tx:
            await bootstrap(tx, config, admin_password=password)
    finally:
        await store.close()


async def _topology(config: Config, hosts: Iterable[str]) -> None:
    """An empty broker is given what it had, as the conductor does who may be slower; then what is new."""
    from skybus_conductor.topology import Topology

    if config.database is not None:
        store = Store(config.database, "topology")
        await store.open()
        try:
            await Topology(store, lambda: transport_of(config)).ensure()
        finally:
            await store.close()
    transport = transport_of(config)
    await transport.open()
    try:
        await transport.declare(queues(hosts))
    finally:
        await transport.close()


def queues(hosts: Iterable[str]) -> list[Queue]:
    """Every durable queue of a cloud with these hosts."""
    from skybus_conductor.topology import queues_of

    return queues_of(f"{kind}.{host}" for host in hosts for kind in AGENT_KINDS)


def write_schemas(*, check: bool) -> int:
    """Write schemas/events from the message classes; with `check`, only say which files differ."""
    wanted = {
        schemas.path_of(name): msgspec.json.format(msgspec.json.encode(schemas.document_of(kind)), indent=2).decode()
        + "\n"
        for name, kind in schemas.load_all().items()
    }
    wanted[schemas.FOLDER / "asyncapi.yaml"] = yaml.safe_dump(schemas.asyncapi(), sort_keys=False, width=120)
    found = {*schemas.FOLDER.rglob("*.json"), *schemas.FOLDER.glob("*.yaml")}
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    extra = sorted(found - wanted.keys())
    if check:
        for path in [*stale, *extra]:
            print(f"differs: {path.relative_to(schemas.FOLDER)}")
        return 1 if stale or extra else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path])
    for path in extra:
        path.unlink()
    print(f"{len(wanted)} schemas, {len(stale)} written, {len(extra)} removed")
    return 0

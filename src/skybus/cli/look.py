"""`skybus status`, `trace`, `dead-letters`: looking at a running cloud, and at what it could not deliver."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from skybus.bus.process import transport_of
from skybus.bus.transport import BusError
from skybus.config import Config, load
from skybus.events import log as event_log
from skybus.http.times import micros_z
from skybus.network import agents
from skybus.placement.inventory import providers
from skybus.saga.ended import operations_parked_count
from skybus.store import Store

OPERATIONS = """
SELECT id, kind, resource_type, resource_id, state, step, attempt, deadline, created_at
  FROM saga.operation WHERE state IN ('waiting', 'running', 'undoing') ORDER BY created_at LIMIT 100
"""
OUTBOX = "SELECT count(*) FROM bus.outbox"
OF_REQUEST = """
SELECT id, kind, resource_type, resource_id, state, error, created_at, finished_at
  FROM saga.operation WHERE request_id = $1 ORDER BY created_at
"""


def main(args: argparse.Namespace) -> int:
    """Run one of them."""
    config = load(args.config)
    if args.command == "status":
        return with_store(config, lambda store: _status(config, store, args.json))
    if args.command == "trace":
        folder = Path(args.logs) if args.logs else _log_folder(args)
        return with_store(config, lambda store: _trace(store, args.request_id, folder))
    return with_store(config, lambda store: _dead_letters(store, args))


def with_store(config: Config, look: Callable[[Store], Awaitable[int]]) -> int:
    """Run `look` on an open store; answer what it answers."""
    return asyncio.run(_opened(config, look))


async def _opened(config: Config, look: Callable[[Store], Awaitable[int]]) -> int:
    store = Store(config.need_database(), "operator")
    await store.open()
    try:
        return await look(store)
    finally:
        await store.close()


def _log_folder(args: argparse.Namespace) -> Path:
    config = Path(args.config or os.environ["SKYBUS_CONFIG"]).resolve()
    return next((parent / "log" for parent in config.parents if (parent / "log").is_dir()), config.parent / "log")


# --- status


async def _status(config: Config, store: Store, as_json: bool) -> int:
    from skybus_conductor.dead_letters import dead_letter_count

    picture: dict[str, Any] = {
        "hosts": await _hosts(store),
        "queues": await _queues(config, store),
        "outbox": await store.fetchval(OUTBOX),
        "dead_letters": await dead_letter_count(store),
        "events": await event_log.head(store),
        "operations": [_operation(row) for row in await store.fetch(OPERATIONS)],
        "operations_failed": await operations_parked_count(store),
    }
    if as_json:
        print(json.dumps(picture))
        return 0
    for host in picture["hosts"]:
        state = ("up" if host["up"] else "down") + ("" if host["enabled"] else ", disabled")
        print(f"host   {host['kind']:<10} {host['host']:<24} {state:<14} seen {host['last_seen']}")
    for name, depth in picture["queues"].items():
        print(f"queue  {name:<50} {depth}")
    for key in ("outbox", "dead_letters", "events", "operations_failed"):
        print(f"{key:<18} {picture[key]}")
    for one in picture["operations"]:
        print(f"operation {one['id']} {one['kind']} {one['state']} step {one['step']} attempt {one['attempt']}")
    return 0


async def _hosts(store: Store) -> list[dict[str, Any]]:
    found = [(row["kind"], row["host"], row["up"], row["enabled"], row["last_seen"]) for row in await providers(store)]
    for row in await agents.agents_all(store):
        heard = row["heard_at"]
        found.append(("network", row["host"], agents.alive(heard), row["admin_state_up"], heard))
    return [
        {"kind": kind, "host": host, "up": up, "enabled": enabled, "last_seen": micros_z(seen)}
        for kind, host, up, enabled, seen in found
    ]


def _operation(row: Any) -> dict[str, Any]:
    times = {name: micros_z(row[name]) for name in ("deadline", "created_at")}
    return {**dict(row), **times}


async def _queues(config: Config, store: Store) -> dict[str, int | None]:
    if config.bus.url.startswith("memory:"):
        return {}
    from skybus.cli.setup import queues

    hosts = sorted({row["host"] for row in await providers(store)})
    transport = transport_of(config)
    try:
        await transport.open()
        return {queue.name: await transport.depth(queue.name) for queue in queues(hosts)}
    except BusError as error:
        return {f"(the broker cannot be asked: {error})": None}
    finally:
        await transport.close()


# --- trace


async def _trace(store: Store, request_id: str, folder: Path) -> int:
    """Everything that is known of a request, in the order in which it happened."""
    story = [*await _told_by_store(store, request_id), *_told_by_logs(folder, request_id)]
    if not story:
        print(f"nothing is known of {request_id}")
        return 1
    for at, who, what in sorted(story):
        print(f"{at}  {who:<22}  {what}")
    return 0


async def _told_by_store(store: Store, request_id: str) -> list[tuple[str, str, str]]:
    story = []
    for row in await event_log.of_request(store, request_id):
        body = " ".join(f"{key}={value}" for key, value in row["body"].items())
        story.append((str(micros_z(row["time"])), row["source"], f"event #{row['position']} {row['type']} {body}"))
    for row in await store.fetch(OF_REQUEST, request_id):
        what = f"{row['kind']} {row['id']} on {row['resource_type']} {row['resource_id']}"
        story.append((str(micros_z(row["created_at"])), "gateway", f"operation accepted: {what}"))
        if row["finished_at"] is not None:
            error = f": {row['error'].get('reason')}" if row["error"] else ""
            ended = f"operation {row['state']}: {what}{error}"
            story.append((str(micros_z(row["finished_at"])), "conductor", ended))
    return story


def _told_by_logs(folder: Path, request_id: str) -> Iterator[tuple[str, str, str]]:
    hidden = {"at", "event", "process", "request_id", "project_id", "level"}
    for path in sorted(folder.glob("*.jsonl*")):
        with path.open(errors="replace") as file:
            for line in file:
                if request_id not in line:
                    continue
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                fields = " ".join(f"{key}={value}" for key, value in entry.items() if key not in hidden)
                yield str(entry.get("at", "")), path.name.split(".")[0], f"{entry.get('event')} {fields}"


# --- dead letters


async def _dead_letters(store: Store, args: argparse.Namespace) -> int:
    from skybus_conductor import dead_letters as letters

    if args.action == "list":
        rows = await letters.dead_letter_list(store, replayed=args.replayed)
        for row in rows:
            fate = " (replayed)" if row["replayed_at"] else ""
            fate = f" (discarded: {row['discarded_reason']})" if row["discarded_at"] else fate
            print(f"{row['id']}  {micros_z(row['died_at'])}  {row['queue']}  {row['type']}  {row['reason']}{fate}")
        print(f"{len(rows)} dead letters")
        return 0
    if not args.id:
        print("which one? give its id, as `skybus dead-letters list` shows it")
        return 2
    if args.action == "show":
        row = await letters.dead_letter_get(store, args.id)
        print(json.dumps(dict(row), indent=2, default=str) if row else f"there is no dead letter {args.id}")
        return 0 if row else 1
    discards = args.action == "discard"
    async with store.transaction() as tx:
        if discards:
            found = await letters.dead_letter_discard(tx, args.id, args.reason or "")
        else:
            found = await letters.dead_letter_replay(tx, args.id)
    print(("discarded" if discards else "sent again") if found else f"there is no dead letter {args.id}")
    return 0 if found else 1

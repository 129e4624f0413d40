"""`skybus operations`: what was accepted and how far it is; what to do about those that could not be undone."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import Any

from skybus.cli.look import OPERATIONS, with_store
from skybus.config import load
from skybus.events.operations_api import shown
from skybus.http.times import micros_z
from skybus.ids import is_uuid
from skybus.saga.ended import acknowledgement_of, operation_acknowledge, operation_retry, operations_parked
from skybus.saga.operations import operation_get
from skybus.store import Store


def main(args: argparse.Namespace) -> int:
    """Run one of the actions. Raises CloudError when it cannot be."""
    return with_store(load(args.config), lambda store: _run(store, args))


async def _run(store: Store, args: argparse.Namespace) -> int:
    if args.action == "list":
        return await _list(store, as_json=args.json, acknowledged=args.acknowledged)
    if not args.id:
        print("which one? give its id, as `skybus operations list` shows it")
        return 2
    if args.action == "show":
        return await _show(store, args.id)
    if args.action == "retry":
        async with store.transaction() as tx:
            operation = await operation_retry(tx, args.id)
        print(f"the undo of {operation.kind} on {operation.resource_type} {operation.resource_id} is tried again")
        return 0
    async with store.transaction() as tx:
        operation = await operation_acknowledge(tx, args.id, args.reason or "")
    print(f"{operation.kind} on {operation.resource_type} {operation.resource_id} is acknowledged")
    return 0


async def _list(store: Store, *, as_json: bool, acknowledged: bool) -> int:
    """The oldest that have not ended, then those that are parked."""
    parked = await operations_parked(store, acknowledged=acknowledged)
    rows = [*_open(await store.fetch(OPERATIONS)), *_parked(parked)]
    if as_json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        about = f"{row['id']}  {row['state']:<8} {row['kind']:<16} {row['resource_type']} {row['resource_id']}"
        print(f"{about}  {row['says']}")
    print(f"{len(rows)} operations")
    return 0


def _open(rows: Iterable[Any]) -> Iterable[dict[str, Any]]:
    for row in rows:
        says = f"step {row['step']}, attempt {row['attempt']}, deadline {micros_z(row['deadline'])}"
        yield _row(row, row["state"], says)


def _parked(rows: Iterable[Any]) -> Iterable[dict[str, Any]]:
    for row in rows:
        error = row["error"] or {}
        says = (error.get("undo") or error).get("reason") or "no reason is known"
        if row["acknowledged"] is not None:
            says = f"{says} (acknowledged: {row['acknowledged']})"
        yield _row(row, "failed", says)


def _row(row: Any, state: str, says: str) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "kind", "resource_type", "resource_id")} | {"state": state, "says": says}


async def _show(store: Store, operation_id: str) -> int:
    operation = await operation_get(store, operation_id) if is_uuid(operation_id) else None
    if operation is None:
        print(f"there is no operation {operation_id}")
        return 1
    known = await acknowledgement_of(store, operation_id)
    told = {"reason": known["reason"], "at": micros_z(known["acknowledged_at"])} if known else None
    print(json.dumps({**shown(operation), "acknowledged": told}, indent=2, default=str))
    return 0

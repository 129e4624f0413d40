"""`skybus doctor`: compare database, hypervisors, networks and volumes, and list every disagreement."""

from __future__ import annotations

import argparse
import asyncio
import json

from skybus.config import Config, load
from skybus.doctor.checks import CHECKS, as_rows, examine
from skybus.store import Store


def main(args: argparse.Namespace) -> int:
    """Print the disagreements; answer 1 when there are any."""
    return asyncio.run(_main(load(args.config), as_json=args.json))


async def _main(config: Config, *, as_json: bool) -> int:
    store = Store(config.need_database(), "doctor")
    await store.open()
    try:
        rows = as_rows(await examine(store))
    finally:
        await store.close()
    print(json.dumps({"checks": len(CHECKS), "disagreements": rows}) if as_json else table(rows))
    return 1 if rows else 0


def table(rows: list[dict[str, str]]) -> str:
    """The disagreements in columns, and how many checks there were."""
    widths = {key: max((len(row[key]) for row in rows), default=0) for key in ("check", "what")}
    lines = [f"{row['check']:<{widths['check']}}  {row['what']:<{widths['what']}}  {row['says']}" for row in rows]
    count = "1 disagreement" if len(rows) == 1 else f"{len(rows) or 'no'} disagreements"
    return "\n".join([*lines, f"{len(CHECKS)} checks, {count}"])

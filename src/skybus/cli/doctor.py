"""`skybus doctor`: compare database, hypervisors, networks and volumes, and list every disagreement.

Without `--repair` it changes nothing, and says of each disagreement what would mend it, or what an operator can do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from skybus.config import Config, load
from skybus.doctor.checks import CHECKS, examine
from skybus.doctor.finding import Finding
from skybus.store import Store
from skybus_conductor.repairs import Outcome, does, mend

LOOK_SECONDS = 2.0
"""Between two looks for whether repairs have shown."""


def main(args: argparse.Namespace) -> int:
    """Print the disagreements; with `--repair` mend what is safe to mend first. Answers 1 when any is left."""
    config = load(args.config)
    return asyncio.run(_main(config, as_json=args.json, repair=args.repair, wait=args.wait))


async def _main(config: Config, *, as_json: bool, repair: bool, wait: float) -> int:
    store = Store(config.need_database(), "doctor")
    await store.open()
    try:
        found: Mapping[str, Sequence[Finding]] = await examine(store)
        told: dict[str, Any] = {}
        if repair:
            found, told = await _repaired(store, config, found, wait, quiet=as_json)
    finally:
        await store.close()
    rows = as_rows(found)
    print(json.dumps({"checks": len(CHECKS), "disagreements": rows, **told}) if as_json else table(rows))
    return 1 if rows else 0


async def _repaired(
    store: Store, config: Config, found: Mapping[str, Sequence[Finding]], wait: float, *, quiet: bool
) -> tuple[Mapping[str, Sequence[Finding]], dict[str, Any]]:
    """Mend, give hosts and operations up to `wait` seconds, and look again; answer what is left and what was done."""
    request_id, outcomes = await mend(store, config, found)
    if not quiet and outcomes:
        print("\n".join([*map(_line, outcomes), f"the story of it: skybus trace {request_id}", ""]))
    made = {(one.check, one.what) for one in outcomes if not one.refused}
    found = await examine(store)
    loop = asyncio.get_running_loop()
    end = loop.time() + wait
    while made & _names(found) and loop.time() < end:
        await asyncio.sleep(min(LOOK_SECONDS, max(0.0, end - loop.time())))
        found = await examine(store)
    done = [{"check": one.check, "what": one.what, "repair": one.repair, "refused": one.refused} for one in outcomes]
    return found, {"request_id": request_id, "repairs": done}


def _names(found: Mapping[str, Sequence[Finding]]) -> set[tuple[str, str]]:
    return {(check, one.what) for check, findings in found.items() for one in findings}


def _line(outcome: Outcome) -> str:
    done = f"not mended: {outcome.refused}" if outcome.refused else f"mended: {outcome.repair}"
    return f"{outcome.what}  {done}"


def as_rows(found: Mapping[str, Sequence[Finding]]) -> list[dict[str, str]]:
    """The findings, flat: check, what, says, and either repair, what would mend it, or advice."""
    return [
        {"check": name, "what": one.what, "says": one.says, "repair": does(one), "advice": one.advice}
        for name, findings in found.items()
        for one in findings
    ]


def table(rows: list[dict[str, str]]) -> str:
    """The disagreements in columns, under each what to do about it, and how many checks there were."""
    widths = {key: max((len(row[key]) for row in rows), default=0) for key in ("check", "what")}
    lines = []
    for row in rows:
        lines.append(f"{row['check']:<{widths['check']}}  {row['what']:<{widths['what']}}  {row['says']}")
        lines.append(f"    --repair would {row['repair']}" if row["repair"] else f"    left alone: {row['advice']}")
    count = "1 disagreement" if len(rows) == 1 else f"{len(rows) or 'no'} disagreements"
    return "\n".join([*lines, f"{len(CHECKS)} checks, {count}"])

"""The common yardstick, a program that drives any OpenStack-compatible cloud, run on ours; its figures beside those of
a real OpenStack as a Markdown table.

The program is not part of this repository: its path is given with --program. The figures of the other cloud are read
from the `README.md` beside it, where a table names each measure and its better run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.api import api_of
from bench.site import Site, machine

RUN_SECONDS = 1800.0
LONG = 1000
"""Items of a list that is compared."""
TESTS = "tokens,reads,boots,ports,networks,footprint"
Result = dict[str, Any]


def boots(count: int) -> Callable[[Result], str]:
    """Of a storm of `count` servers."""

    def shown(best: Result) -> str:
        figure = best[f"boot_{count}"]
        times = figure["create_to_active"]
        return f"{figure['boots_per_s']:.3g}/s (p50 {times['p50_ms']:.0f} ms, p95 {times['p95_ms']:.0f} ms)"

    return shown


def per_second(test: str) -> Callable[[Result], str]:
    """Of a test that calls as often as it can."""
    return lambda best: (
        f"{best[test].get('req_per_s', best[test].get('per_s')):.4g}/s (p50 {best[test]['p50_ms']:.3g} ms)"
    )


def milliseconds(test: str) -> Callable[[Result], str]:
    """Of a test that asks for one long list again and again."""

    def shown(best: Result) -> str:
        items = "" if best[test]["items"] >= LONG else f" (only {best[test]['items']})"
        return f"p50 {best[test]['p50_ms']:.0f} ms, p95 {best[test]['p95_ms']:.0f} ms{items}"

    return shown


def boot_cost(best: Result) -> str:
    """CPU of all services for one server."""
    counted = [figure for name, figure in best.items() if name.startswith("boot_") and figure["n"] >= 100]
    return f"{counted[-1]['services_cpu_s_per_boot'] * 1000:.0f} ms"


MEASURES: tuple[tuple[str, str, Callable[[Result], str]], ...] = (
    ("Token issue, bcrypt 12, 8 at a time", r"token issue, bcrypt 12", per_second("token_issue")),
    ("Token validation, 16 at a time", r"token validate", per_second("token_validate")),
    ("List of flavors, 16 at a time", r"nova GET /flavors", per_second("nova_flavors")),
    ("Boot 20 servers", r"boot 20 ", boots(20)),
    ("Boot 100 servers", r"boot 100 ", boots(100)),
    ("Boot 200 servers", r"boot 200 ", boots(200)),
    ("CPU of all services for one boot", "", boot_cost),
    ("1,000 servers in detail", r"GET /servers/detail", milliseconds("servers_detail")),
    ("1,000 ports", r"GET /ports", milliseconds("ports")),
    ("Create 200 ports, 10 at a time", r"create 200 ports", per_second("port_create")),
    ("Create 50 networks, 10 at a time", r"create 50 networks", per_second("network_create")),
    ("Memory of all processes, idle", r"footprint", lambda best: f"{best['footprint']['pss_mib']:.0f} MiB"),
)
COST = re.compile(r"CPU of the services per boot: ([0-9.]+) s")


def others(readme: str) -> dict[str, str]:
    """{measure: better run} of the tables in the yardstick's README, and the CPU of a boot under ``."""
    rows = [[cell.strip() for cell in line.strip("| \n").split("|")] for line in readme.splitlines() if "|" in line]
    found = {row[0] + " ": row[1] for row in rows if len(row) >= 2}
    cost = COST.search(readme)
    return {**found, "": f"{float(cost[1]) * 1000:.0f} ms" if cost else "?"}


def table(best: Result, other: dict[str, str]) -> str:
    """Measure, theirs, ours. A measure that was not run has no row."""
    lines = ["| Measure | OpenStack | Skybus |", "|---|---|---|"]
    for name, pattern, shown in MEASURES:
        try:
            ours = shown(best)
        except (KeyError, TypeError, IndexError):
            continue
        theirs = next(
            (value for key, value in other.items() if key.startswith(pattern) and bool(key) == bool(pattern)), "?"
        )
        lines.append(f"| {name} | {theirs} | {ours} |")
    return "\n".join(lines)


def drive(program: Path, site: Site, words: list[str], out: Path) -> Result:
    """One call of the program. Raises CalledProcessError or TimeoutExpired."""
    auth = site.cloud()["auth"]
    told = {f"OS_{key.upper()}": str(value) for key, value in auth.items()}
    argv: list[str | Path] = [sys.executable, program, "run", "--pid-dir", site.state / "run", "--out", out, *words]
    subprocess.run(argv, env={**os.environ, **told}, check=True, timeout=RUN_SECONDS)
    result: Result = json.loads(out.read_text())
    return result


async def lift_quotas(site: Site) -> None:
    """The yardstick boots more than a new project may have."""
    async with api_of(site.cloud()) as api:
        await api.unlimited()


def main() -> None:
    """Lift the quotas, drive, print the table."""
    parser = argparse.ArgumentParser(prog="ops/bench --yardstick PROGRAM", description=__doc__)
    parser.add_argument("--state", required=True, type=Path, help="state folder of the cloud")
    parser.add_argument("--program", required=True, type=Path, help="path of cloudbench.py")
    parser.add_argument("--repeat", default=2, type=int, metavar="R", help="runs; the better is shown (2)")
    parser.add_argument("--only", default=TESTS, help=f"tests ({TESTS})")
    parser.add_argument("--seconds", default=15.0, type=float, help="length of each rate test (15)")
    parser.add_argument("--list-servers", default=1000, type=int, help="servers of the long lists, 0 for none (1000)")
    parser.add_argument("--out", type=Path, help="write the figures there as JSON")
    args = parser.parse_args()
    site, before = Site(args.state), machine()
    asyncio.run(lift_quotas(site))
    seconds = ["--seconds", str(args.seconds)]
    words = ["--repeat", str(args.repeat), "--only", args.only, *seconds]
    best = drive(args.program, site, words, args.state / "yardstick.json")["best"]
    if args.list_servers:
        long = ["--only", "list", "--list-servers", str(args.list_servers), *seconds]
        best |= drive(args.program, site, long, args.state / "yardstick-list.json")["best"]
    print(", ".join(f"{key} {value}" for key, value in before.items()))
    print(table(best, others((args.program.parent / "README.md").read_text())))
    if args.out:
        args.out.write_text(json.dumps({"machine": before, "best": best}, indent=1) + "\n")


if __name__ == "__main__":
    main()

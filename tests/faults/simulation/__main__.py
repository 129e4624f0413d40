# ruff: noqa: T201 - it speaks to the terminal
"""`python -m simulation`: seeds, in as many processes as there are cores. `ops/faults` gives it a Postgres."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

from simulation.planted import planted
from simulation.run import Outcome
from simulation.workers import followed, found, outcomes

COMMAND = "./ops/faults --seeds 1 --from {seed}"


def main() -> int:
    """0 when every seed held, 1 when one did not, 2 when none was run."""
    asked = _arguments()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of strings is part of what a seed decides.
        again = [sys.executable, "-m", "simulation", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})
    began = time.monotonic()
    if asked.planted is not None:
        return _look_for_planted(asked)
    tally = Tally()
    if asked.follow:
        tally.take(followed(asked.start))
    else:
        end = began + asked.minutes * 60 if asked.minutes else None
        for outcome in outcomes(asked.start, asked.seeds, asked.workers, end):
            tally.take(outcome)
    tally.show(time.monotonic() - began)
    if asked.report:
        told = {"seeds": tally.seeds, "broken": sorted(tally.broken), "digests": tally.digests}
        Path(asked.report).write_text(json.dumps(told))
    if not tally.seeds:
        return 2
    return 1 if tally.broken else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ops/faults", description="Look for a seed that breaks the cloud.")
    parser.add_argument("--seeds", type=int, default=200, metavar="N", help="how many (200)")
    parser.add_argument("--from", type=int, default=1, metavar="S", dest="start", help="the first one (1)")
    parser.add_argument("--minutes", type=float, metavar="M", help="begin no seed after that many minutes")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (cores)")
    parser.add_argument("--report", metavar="FILE", help="write there what became of them, as JSON")
    parser.add_argument(
        "--planted", nargs="*", metavar="NAME", help="plant these mistakes, or all, and count the seeds that find them"
    )
    parser.add_argument("--follow", action="store_true", help="print every step of the first seed, and run no other")
    return parser.parse_args()


def _look_for_planted(asked: argparse.Namespace) -> int:
    """A line of a table for each mistake: 0 when all were found."""
    names = asked.planted or [one.name for one in planted()]
    missed = 0
    print("| planted | what is wrong | seeds | first seed | what gave it away |\n|---|---|---|---|---|")
    for one in found(names, asked.start, asked.seeds, asked.workers):
        outcome = one.outcome
        missed += outcome is None
        seed, clue = (str(outcome.seed), outcome.broken[0][:100]) if outcome else ("-", "NOT FOUND")
        print(f"| {one.name} | {one.wrong} | {one.seeds} | {seed} | {clue} |".replace("\n", " "), flush=True)
    return 1 if missed or not names else 0


class Tally:
    """Counts what was run, and shows what broke."""

    def __init__(self) -> None:
        self.seeds = 0
        self.broken: list[int] = []
        self.digests: dict[int, str] = {}
        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.cpu_seconds = 0.0
        self.virtual_seconds = 0.0

    def take(self, outcome: Outcome) -> None:
        """Another seed is over."""
        self.seeds += 1
        self.digests[outcome.seed] = outcome.digest
        self.counts.update(outcome.counts)
        self.kinds.update(outcome.faults)
        self.cpu_seconds += outcome.cpu_seconds
        self.virtual_seconds += outcome.virtual_seconds
        if outcome.broken:
            self.broken.append(outcome.seed)
            _show(outcome)
        elif self.seeds % 20 == 0:
            print(f"{self.seeds} seeds, {len(self.broken)} broken", flush=True)

    def show(self, seconds: float) -> None:
        """The summary."""
        counts = self.counts
        print(
            f"\n{self.seeds} seeds in {seconds:.0f} s ({self.cpu_seconds:.0f} s of CPU, "
            f"{self.virtual_seconds / 60:.0f} virtual minutes): {counts['call']} API calls, "
            f"{counts['deliver']} messages, {counts['statements']} SQL statements, {counts['kill']} kills"
        )
        print("kinds of faults, in seeds: " + ", ".join(f"{kind} {n}" for kind, n in sorted(self.kinds.items())))
        struck = {name.removeprefix("fault: "): n for name, n in sorted(counts.items()) if name.startswith("fault: ")}
        print("strikes: " + ", ".join(f"{name} {n}" for name, n in struck.items()))
        if self.broken:
            print(f"BROKEN: {len(self.broken)} seeds: {', '.join(map(str, sorted(self.broken)))}")
        elif self.seeds:
            print("every invariant held")


def _show(outcome: Outcome) -> None:
    print(f"\n== seed {outcome.seed} broke {len(outcome.broken)}; faults: {', '.join(outcome.faults)}")
    print("the last steps:")
    for line in outcome.last_steps:
        print(f"  {line[:300]}")
    for what in outcome.broken[:20]:
        print(f"  BROKEN: {what[:600]}")
    print(f"  digest {outcome.digest}; again: {COMMAND.format(seed=outcome.seed)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

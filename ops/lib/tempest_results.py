"""Read a Tempest run's results (subunit, standard input) and write them for people.

Runs in the environment that has Tempest, not in ours. The first argument, if any, is the file with the tests that were
asked for: each is accounted for, also those whose class was skipped or failed as a whole. Ends with 1 unless all passed
or were skipped.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import subunit  # type: ignore[import-not-found]
import testtools  # type: ignore[import-not-found]

CLASS = re.compile(r"(setUpClass|tearDownClass) \((.+)\)")
BAD = ("fail", "uxsuccess")
SHOWN_LINES = 14


@dataclass
class Outcome:
    """How one test went."""

    status: str
    why: str = ""
    seconds: float = 0.0


class Reader(testtools.StreamResult):  # type: ignore[misc]
    """Collects outcomes and prints a line for each."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: dict[str, Outcome] = {}
        self.classes: dict[str, Outcome] = {}
        """Those whose tests did not run."""
        self.dirty: dict[str, Outcome] = {}
        """Those whose tests ran, and that could not clean up."""
        self.began: dict[str, datetime] = {}
        self.texts: dict[str, bytes] = defaultdict(bytes)

    def status(
        self, test_id: str | None = None, test_status: str | None = None, file_name: str | None = None,
        file_bytes: bytes | None = None, timestamp: datetime | None = None, **rest: object,
    ) -> None:  # fmt: skip
        """One event of the stream."""
        if test_id is None:
            return
        if file_bytes and file_name in ("reason", "traceback"):
            self.texts[test_id] += file_bytes
        if test_status == "inprogress" and timestamp:
            self.began[test_id] = timestamp
        if test_status not in (None, "inprogress", "exists"):
            began = self.began.get(test_id)
            seconds = (timestamp - began).total_seconds() if timestamp and began else 0.0
            self.finished(test_id, Outcome(str(test_status), self.texts.pop(test_id, b"").decode().strip(), seconds))

    def finished(self, test_id: str, outcome: Outcome) -> None:
        """Note it, and show it."""
        whole = CLASS.fullmatch(test_id)
        if whole and outcome.status != "success":
            (self.classes if whole[1] == "setUpClass" else self.dirty).setdefault(whole[2], outcome)
        elif not whole:
            self.outcomes[test_id] = outcome
        mark = {"success": "ok", "skip": "skip", "xfail": "ok"}.get(outcome.status, "FAILED")
        if not whole or mark != "ok":
            print(f"  {mark:<6} {outcome.seconds:6.1f} s  {test_id.split('[')[0]}", flush=True)

    def all_of(self, wanted: list[str]) -> dict[str, Outcome]:
        """Every test that was asked for or ran: what happened to a class happened to its tests."""
        result = dict(self.outcomes)
        for test in wanted:
            family = test.split("[")[0].rpartition(".")[0]
            outcome = self.classes.get(family, Outcome("fail", "it did not run: this Tempest has no such test"))
            result.setdefault(test, outcome)
        for name, outcome in self.classes.items():
            if not any(test.startswith(f"{name}.") for test in result):
                result[f"{name} (class)"] = outcome
        return result | {f"{name} (cleaning up)": outcome for name, outcome in self.dirty.items()}


def service_of(test: str) -> str:
    """`compute` of tempest.api.compute.servers..."""
    parts = test.split(".")
    return parts[2] if parts[:2] == ["tempest", "api"] and len(parts) > 2 else parts[1] if len(parts) > 1 else test


def report(outcomes: dict[str, Outcome]) -> int:
    """Failures with their reasons, skips by reason, a line a service. The exit status."""
    failed = {test: outcome for test, outcome in sorted(outcomes.items()) if outcome.status in BAD}
    skipped = Counter(outcome.why or "no reason given" for outcome in outcomes.values() if outcome.status == "skip")
    for test, outcome in failed.items():
        print(f"\nFAILED {test}")
        print("\n".join(f"   | {line}" for line in outcome.why.splitlines()[-SHOWN_LINES:]))
    if skipped:
        print("\nskipped, and why:")
        print("\n".join(f"  {count:4d}  {why.splitlines()[-1]}" for why, count in skipped.most_common()))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for test, outcome in outcomes.items():
        kind = "failed" if outcome.status in BAD else "skipped" if outcome.status == "skip" else "passed"
        counts[service_of(test)][kind] += 1
        counts["all"][kind] += 1
    print(f"\n  {'service':<12} passed failed skipped")
    for name in [*sorted(set(counts) - {"all"}), "all"]:
        print(f"  {name:<12} {counts[name]['passed']:6d} {counts[name]['failed']:6d} {counts[name]['skipped']:7d}")
    return 1 if failed or not counts["all"]["passed"] else 0


def main() -> int:
    """Read until the stream ends."""
    wanted = Path(sys.argv[1]).read_text().split() if len(sys.argv) > 1 else []
    reader = Reader()
    reader.startTestRun()
    subunit.ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="stdout").run(reader)
    reader.stopTestRun()
    return report(reader.all_of(wanted))


if __name__ == "__main__":
    sys.exit(main())

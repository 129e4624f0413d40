"""`ops/test`: checks, tests, a real cloud of its own for the system tests, and a look at what was left behind.

Everything it starts lies in a temporary state folder with ports of its own, so a running cloud is not disturbed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import xml.etree.ElementTree as xml
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from . import faults, leftovers, packages, ports, postgres, processes, venv
from .plan import Plan
from .postgres import Postgres
from .progress import Progress
from .rabbitmq import RabbitMQ
from .shell import merged, succeeds
from .state import REPO, State
from .trouble import Trouble

PARTS = ("lint", "unit", "component", "security", "faults", "kills", "system")
CHECKS = (("ruff", "format", "--check", "."), ("ruff", "check", "."), ("mypy",))
FOLDERS = {"faults": "tests/faults/simulation", "kills": "tests/faults/real"}
"""Where a part's tests are when that is not the folder of its name."""
PART_SECONDS = 1800.0
"""Longest time of one part; each test has a shorter deadline of its own."""


@dataclass
class Result:
    """How one part went."""

    part: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    problem: str = ""
    """Why the part failed, apart from failed tests."""

    @property
    def sound(self) -> bool:
        """Whether something ran and nothing failed."""
        return not self.failed and not self.problem and self.passed > 0


@dataclass
class Run:
    """One run of `ops/test`."""

    parts: Sequence[str]
    pytest_words: Sequence[str]
    folder: Path
    """Temporary; everything of this run lies in it."""
    env: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    marks: list[leftovers.Mark] = field(default_factory=list)

    @property
    def base(self) -> State:
        """Postgres and RabbitMQ for the tests."""
        return State(self.folder / "base")

    @property
    def cloud(self) -> State:
        """The real cloud of the system tests."""
        return State(self.folder / "cloud")

    def wants(self, *parts: str) -> bool:
        """Whether one of `parts` was asked for."""
        return any(part in self.parts for part in parts)


def test(parts: Sequence[str], pytest_words: Sequence[str], *, strict: bool) -> int:
    """Run `parts`. 0 when all of them ran something, nothing failed and nothing was left behind."""
    began = time.monotonic()
    before = leftovers.snapshot()
    folder = Path(tempfile.mkdtemp(prefix="skytest-"))
    folder.chmod(0o711)
    run = Run([part for part in PARTS if part in parts], pytest_words, folder)
    run.env["SKYBUS_TEST_FOLDER"] = str(folder)
    os.environ[leftovers.RUN_VARIABLE] = folder.name
    try:
        with stopped_politely():
            prepare(run)
            for part in run.parts:
                run.results.append(one_part(run, part))
    finally:
        clean_up(run)
    run.results.append(look_for_leftovers(run, before, strict=strict))
    summary(run, time.monotonic() - began)
    return 0 if all(result.sound for result in run.results) else 1


@contextmanager
def stopped_politely() -> Iterator[None]:
    """Being terminated is like Ctrl-C: what was made is removed on the way out."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def prepare(run: Run) -> None:
    """Packages, the environment, and the store and bus that tests share."""
    with Progress(f"Preparing tests in {run.folder}") as progress:
        plan = Plan(progress)
        plan.add("Debian packages", lambda: packages.install())
        plan.add("virtual environment", lambda: venv.sync("run", "host", "test"), ["Debian packages"])
        if run.wants("component", "security", "faults", "system"):
            plan.add("Postgres and RabbitMQ for tests", lambda: start_base(run), ["Debian packages"])
        plan.run()


def start_base(run: Run) -> str:
    """A Postgres that forgets durability, and a RabbitMQ with a script that is its rabbitmqctl."""
    state = run.base
    state.make()
    state.remember()
    run.marks.append(leftovers.Mark(state.root, state.prefix))
    chosen = ports.choose(state, ["postgres", "amqp", "amqp-distribution", "epmd"])
    programs = postgres.installed_programs()
    if programs is None:
        raise Trouble("there is no Postgres", "apt-get install postgresql-15")
    store = Postgres(state, programs, chosen["postgres"], for_tests=True)
    bus = RabbitMQ(state, chosen, {})
    store.up()
    bus.up()
    run.env |= {
        "SKYBUS_TEST_DSN": store.admin_dsn,
        "SKYBUS_TEST_AMQP": bus.url(),
        "SKYBUS_TEST_AMQP_CTL": str(bus.write_ctl_script(state.bin / "rabbitmqctl")),
    }
    return ""


def one_part(run: Run, part: str) -> Result:
    """Run one part and say how it went."""
    print(f"\n== {part} ".ljust(100, "="), flush=True)
    began = time.monotonic()
    try:
        if part == "lint":
            result = lint()
        else:
            if part in ("kills", "system"):
                need_root(part)
            if part == "system":
                start_cloud(run)
            result = faulty(run) if part == "faults" else pytest(run, part)
    except Trouble as trouble:
        print(trouble.text())
        result = Result(part, problem=trouble.what.splitlines()[0])
    result.seconds = time.monotonic() - began
    return result


def lint() -> Result:
    """Format, lint and types."""
    result = Result("lint")
    for words in CHECKS:
        print(f"$ {' '.join(words)}", flush=True)
        if stream([venv.program(words[0]), *words[1:]], {}) == 0:
            result.passed += 1
        else:
            result.failed += 1
    return result


def faulty(run: Run) -> Result:
    """The simulation's own tests, and its seeds: one that breaks an invariant counts as a failed test."""
    result = pytest(run, "faults")
    report = run.folder / "seeds.json"
    code = faults.simulate(["--seeds", str(faults.SEEDS), "--report", str(report)], run.env)
    told = json.loads(report.read_text()) if report.exists() else {"seeds": 0, "broken": []}
    result.failed += len(told["broken"])
    result.passed += told["seeds"] - len(told["broken"])
    if told["seeds"] < faults.SEEDS or code not in (0, 1):
        result.problem = f"{told['seeds']} of {faults.SEEDS} seeds ran; the simulation ended with {code}"
    return result


def need_root(part: str) -> None:
    """Raises Trouble when we are nobody who can make a real cloud."""
    if os.geteuid() != 0:
        raise Trouble(f"the part `{part}` needs root", "`sudo ./ops/test`, or name the other parts")


def start_cloud(run: Run) -> None:
    """A real cloud for the system tests. Raises Trouble when it does not come up."""
    state = run.cloud
    code = stream([REPO / "ops" / "up", "--no-client"], {"SKYBUS_STATE": str(state.root)})
    if state.exists():
        run.marks.append(leftovers.Mark(state.root, state.prefix))
        run.env |= {
            "SKYBUS_TEST_STATE": str(state.root),
            "SKYBUS_STATE": str(state.root),
            "SKYBUS_CONFIG": str(state.etc / "skybus.toml"),
            "OS_CLIENT_CONFIG_FILE": str(state.root / "clouds.yaml"),
        }
    if code != 0:
        raise Trouble("the cloud for the system tests did not come up", "its last words are above")


def pytest(run: Run, part: str) -> Result:
    """Run the tests of one folder, or those that the operator named, and count."""
    report = run.folder / f"{part}.xml"
    named = [word for word in run.pytest_words if (REPO / word.partition("::")[0]).exists()]
    where = [] if named else [FOLDERS.get(part, f"tests/{part}")]
    words = ["-m", "pytest", *where, *run.pytest_words, f"--junitxml={report}", "-o", "junit_family=xunit1"]
    code = stream([venv.program("python"), *words], run.env)
    result = count(part, report)
    if code not in (0, 1) or (code == 1 and not result.failed):
        result.problem = f"pytest ended with {code}" if code != 5 else "no test ran"
    elif not result.passed and not result.failed:
        result.problem = "no test ran"
    return result


def count(part: str, report: Path) -> Result:
    """What pytest's report says."""
    result = Result(part)
    if report.exists():
        for suite in xml.parse(report).getroot().iter("testsuite"):
            numbers = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
            bad = numbers["failures"] + numbers["errors"]
            result.failed += bad
            result.skipped += numbers["skipped"]
            result.passed += max(numbers["tests"] - bad - numbers["skipped"], 0)
    return result


def stream(argv: Sequence[str | Path], env: Mapping[str, str]) -> int:
    """Run a program with our terminal as its own. Its exit status; it is stopped when it takes too long."""
    child = subprocess.Popen([str(word) for word in argv], env=merged(env), cwd=REPO, stdin=subprocess.DEVNULL)
    try:
        return child.wait(PART_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"stopped after {PART_SECONDS:.0f} s", flush=True)
        return 124
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(60)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def clean_up(run: Run) -> None:
    """Remove everything that this run made."""
    print("\n== cleaning up ".ljust(100, "="), flush=True)
    left = [path.parent for path in run.folder.glob("shake-*/**/cloud.json")]  # of tests that were killed
    for root in [run.cloud.root, *left]:
        if State(root).exists():
            stream([REPO / "ops" / "down", "--purge"], {"SKYBUS_STATE": str(root)})
    for mount in leftovers.mounts():
        if Path(mount).is_relative_to(run.folder):
            succeeds(["umount", mount])
    if run.base.root.exists():
        for record in processes.recorded(run.base):
            processes.stop(run.base, record)
    shutil.rmtree(run.folder, ignore_errors=True)


def look_for_leftovers(run: Run, before: Mapping[str, set[str]], *, strict: bool) -> Result:
    """Compare the machine with what it was. What bears our mark is a failure; the rest is one in a strict run."""
    print("\n== left-overs ".ljust(100, "="), flush=True)
    marks = [*run.marks, leftovers.Mark(run.folder, str(run.folder))]
    ours = sorted({line for mark in marks for line in leftovers.of(mark)})
    new = [line for line in leftovers.appeared(dict(before), leftovers.snapshot(run.folder.name)) if line not in ours]
    result = Result("left-overs")
    for line in ours:
        print(f"  left behind: {line}")
    for line in new:
        print(f"  appeared meanwhile{'' if strict else ' (somebody else works here, or a test left it)'}: {line}")
    result.failed = len(ours) + (len(new) if strict else 0)
    result.passed = 0 if result.failed else 1
    if result.sound:
        print("  none")
    return result


def summary(run: Run, seconds: float) -> None:
    """A line for each part and a last line with the total."""
    print("\n== summary ".ljust(100, "="))
    for result in run.results:
        mark = "ok" if result.sound else "FAILED"
        counts = f"{result.passed:5d} passed {result.failed:4d} failed {result.skipped:4d} skipped"
        print(f"  {mark:<7} {result.part:<11} {counts} {result.seconds:7.1f} s  {result.problem}".rstrip())
    problems = sum(1 for result in run.results if result.problem)
    passed = sum(result.passed for result in run.results)
    failed = sum(result.failed for result in run.results) + problems
    skipped = sum(result.skipped for result in run.results)
    print(f"  {seconds:.0f} s in all")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")

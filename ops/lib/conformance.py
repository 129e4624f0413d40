"""`ops/conformance`: run Tempest against the running cloud, and say what passed, failed and was skipped, and why."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import tempest_conf, venv
from .progress import Progress
from .shell import run
from .state import REPO, State, read_json
from .testing import stopped_politely
from .trouble import Trouble

LISTS = REPO / "tests" / "conformance"
SERVICES = ("identity", "image", "volume", "network", "compute")
"""What runs when nothing is named: a list each, of the tests that must pass."""
ENVIRONMENT = REPO / ".venv-conformance"
READER = Path(__file__).with_name("tempest_results.py")
STESTR = "[DEFAULT]\ntest_path={0}/test_discover\ntop_dir={0}\ngroup_regex=([^\\.]*\\.)*\n"
LONGEST_RUN = 7200.0
"""Seconds; Tempest has its own, shorter deadlines for whatever it waits for."""


def conform(state: State, names: Sequence[str], regex: str, workers: int) -> int:
    """Run the lists `names`, or all tests that match `regex`. 0 when every one of them passed. Raises Trouble."""
    port = read_json(state.root / "ports.json").get("gateway")
    if not state.exists() or port is None:
        raise Trouble(f"there is no cloud in {state.root}", "`./ops/up`, or name its folder in SKYBUS_STATE")
    # The environment's functions find it by this variable; ours must not mix with the cloud's own.
    os.environ["SKYBUS_VENV"] = str(ENVIRONMENT)
    work = state.root / "conformance"
    with Progress(f"Preparing Tempest in {work}") as progress:
        with progress.step("virtual environment") as step:
            step.note = venv.sync("conformance")
        with progress.step("tempest.conf"):
            work.mkdir(exist_ok=True)
            tempest_conf.write(state, int(port), work)
            (work / ".stestr.conf").write_text(STESTR.format(tempest_folder()))
            if not (work / ".stestr").exists():
                run([venv.program("stestr"), "init"], "making the store of Tempest's results", timeout=60, cwd=work)
    wanted = [] if regex else as_tempest_names(work, chosen(names or SERVICES))
    return run_tempest(work, wanted, regex, workers)


def chosen(names: Sequence[str]) -> list[str]:
    """The tests that the lists `names` hold, each once. Raises Trouble for a list that is not there."""
    tests: dict[str, None] = {}
    for name in names:
        path = LISTS / f"{name}.txt" if (LISTS / f"{name}.txt").exists() else Path(name)
        if not path.is_file():
            known = ", ".join(sorted(found.stem for found in LISTS.glob("*.txt")))
            raise Trouble(f"no list is called {name}, and no file either", f"known lists: {known}")
        lines = (line.strip() for line in path.read_text().splitlines())
        tests.update((line, None) for line in lines if line and not line.startswith("#"))
    return list(tests)


def as_tempest_names(work: Path, tests: Sequence[str]) -> list[str]:
    """`tests` with the tags behind their names that this Tempest gives them: these depend on the configuration."""
    argv: list[str | Path] = [venv.program("tempest"), "run", "--list-tests", "--config-file", work / "tempest.conf"]
    listed = run(argv, "listing Tempest's tests", timeout=120, cwd=work).split()
    known = {test.partition("[")[0]: test for test in listed if test.startswith("tempest.")}
    return [known.get(test.partition("[")[0], test) for test in tests]


def tempest_folder() -> Path:
    """Where the package lies in the environment."""
    return next(ENVIRONMENT.glob("lib/python3*/site-packages/tempest"))


def run_tempest(work: Path, wanted: Sequence[str], regex: str, workers: int) -> int:
    """Run it with its results piped into our reader, which writes them to the terminal."""
    argv: list[str | Path] = [venv.program("tempest"), "run", "--subunit", "--concurrency", str(workers)]
    argv += ["--config-file", work / "tempest.conf"]
    reader: list[str | Path] = [venv.program("python"), READER]
    with tempfile.NamedTemporaryFile("w", dir=work, prefix="load-list-") as file:
        if regex:
            argv += ["--regex", regex]
        else:
            file.write("".join(f"{test}\n" for test in wanted))
            file.flush()
            argv += ["--load-list", file.name]
            reader.append(file.name)
        return piped(argv, reader, work)


def piped(argv: Sequence[str | Path], reader: Sequence[str | Path], work: Path) -> int:
    """The reader's exit status; both programs are ended when they take too long or we are interrupted.

    Tempest has workers of its own, which do not end with it: it gets a process group, to end them together.
    """
    with stopped_politely(), (work / "tempest.err").open("w") as complaints:
        source = subprocess.Popen(
            [str(word) for word in argv], cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints,
            start_new_session=True,
        )  # fmt: skip
        sink = subprocess.Popen([str(word) for word in reader], cwd=work, stdin=source.stdout)
        try:
            status = sink.wait(LONGEST_RUN)
            source.wait(30)
        except subprocess.TimeoutExpired:
            raise Trouble(f"Tempest did not end; what it said is in {work}", "") from None
        finally:
            if source.poll() is None:
                os.killpg(source.pid, signal.SIGTERM)
                source.wait(30)
            if sink.poll() is None:
                sink.terminate()
                sink.wait(30)
    if status == 0 and source.returncode not in (0, 1):
        raise Trouble(f"Tempest ended with {source.returncode}", f"see {work / 'tempest.err'}")
    return status

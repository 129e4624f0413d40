"""The simulation itself: it repeats, it kills as a kill does, and it is able to fail."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.loop import LIFE, Life, Loop, NothingWillHappen
from simulation.planted import planted

REPO = Path(__file__).resolve().parents[3]
SECONDS = 400


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m simulation` in a process of its own."""
    path = os.pathsep.join(str(REPO / name) for name in ("src", "workers", "tests", "tests/faults"))
    return subprocess.run(
        [sys.executable, "-m", "simulation", *arguments],
        env={**os.environ, "PYTHONPATH": path}, cwd=REPO, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip


def digests(tmp_path: Path, *arguments: str) -> dict[str, str]:
    """Of every seed that was run."""
    report = tmp_path / f"{'-'.join(arguments)}.json"
    ran = simulate(*arguments, "--report", str(report))
    assert report.exists(), ran.stdout + ran.stderr
    return dict(json.loads(report.read_text())["digests"])


@pytest.mark.timeout(SECONDS)
def test_a_seed_does_the_same_in_every_process_and_whatever_ran_before_it(tmp_path: Path) -> None:
    alone = digests(tmp_path, "--seeds", "1", "--from", "4")
    after_another = digests(tmp_path, "--seeds", "2", "--from", "3", "--workers", "1")
    assert alone["4"] == after_another["4"]
    assert after_another["3"] != after_another["4"]


def test_a_run_of_no_seeds_fails() -> None:
    assert simulate("--seeds", "0").returncode == 2


@pytest.mark.timeout(SECONDS)
def test_planted_mistakes_are_found_and_say_what_they_broke() -> None:
    ran = simulate("--planted", "claim-kept", "never-begun", "late-outbox", "--seeds", "6")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "NOT FOUND" not in ran.stdout
    assert ran.stdout.count("\n") == 2 + 3


@pytest.mark.parametrize("mistake", planted(), ids=lambda one: one.name)
def test_every_planted_mistake_has_a_place_to_grow_in_and_leaves_it(mistake) -> None:  # type: ignore[no-untyped-def]
    from simulation.planted import _owner

    before = {path: getattr(*_owner(path)) for path in mistake.changes}
    with mistake.growing():
        assert all(getattr(*_owner(path)) is wrong for path, wrong in mistake.changes.items())
    assert {path: getattr(*_owner(path)) for path in mistake.changes} == before


def test_what_is_killed_runs_neither_its_finally_nor_anything_else() -> None:
    loop, did = Loop(), []
    deaths: list[str] = []
    life = Life("one", lambda dead: deaths.append(dead.name))

    async def work() -> None:
        try:
            did.append("began")
            await asyncio.sleep(10)
            did.append("went on")
        finally:
            did.append("cleaned up")

    async def story() -> float:
        context = contextvars.copy_context()
        context.run(LIFE.set, life)
        task = loop.create_task(work(), context=context)
        await asyncio.sleep(5)
        life.die()
        task.cancel()
        await asyncio.sleep(60)
        return loop.time()

    assert loop.run_until_complete(story()) == pytest.approx(65)
    assert did == ["began"]
    assert deaths == ["one"]
    loop.set_exception_handler(lambda _loop, _context: None)
    loop.close()


def test_a_life_ends_before_the_step_that_was_drawn() -> None:
    loop, seen = Loop(), []
    life = Life("one", lambda dead: seen.append(-1))
    life.dies_at = 3

    async def count() -> None:
        for number in range(10):
            seen.append(number)
            await asyncio.sleep(1)

    async def story() -> None:
        context = contextvars.copy_context()
        context.run(LIFE.set, life)
        loop.create_task(count(), context=context)
        await asyncio.sleep(20)

    loop.run_until_complete(story())
    assert seen[-1] == -1
    assert len(seen) <= 3
    loop.set_exception_handler(lambda _loop, _context: None)
    loop.close()


def test_waiting_for_what_cannot_come_is_an_error() -> None:
    loop = Loop()
    with pytest.raises(NothingWillHappen):
        loop.run_until_complete(loop.create_future())
    loop.close()


@pytest.mark.timeout(SECONDS)
def test_the_cloud_holds_whatever_a_state_machine_of_users_does_to_it() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", MACHINE],
        env={
            **os.environ,
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": os.pathsep.join(str(REPO / name) for name in ("src", "workers", "tests", "tests/faults")),
        },
        cwd=REPO, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert "held" in ran.stdout


MACHINE = """
import tempfile
from pathlib import Path
from simulation.machine import run_machine
from simulation.site import site
with tempfile.TemporaryDirectory() as folder, site(Path(folder)) as here:
    run_machine(here, 4, 20)
print("held")
"""

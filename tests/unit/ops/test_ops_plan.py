"""Tasks wait for what they need, and for nothing else."""

from __future__ import annotations

import threading
import time

import pytest
from lib.plan import Plan
from lib.progress import Progress
from lib.trouble import Trouble


def test_a_task_starts_after_all_that_it_needs() -> None:
    seen: list[str] = []
    plan = Plan(Progress("test"))
    plan.add("a", lambda: seen.append("a"))
    plan.add("b", lambda: seen.append("b"), ["a"])
    plan.add("c", lambda: seen.append("c"), ["a", "b"])
    plan.run()
    assert seen == ["a", "b", "c"]


def test_tasks_without_an_order_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=20)
    plan = Plan(Progress("test"))
    plan.add("a", lambda: str(both.wait()))
    plan.add("b", lambda: str(both.wait()))
    plan.run()


def test_nothing_starts_after_a_failure() -> None:
    seen: list[str] = []

    def fail() -> None:
        raise Trouble("the disk is full", "make room")

    plan = Plan(Progress("test"))
    plan.add("a", fail)
    plan.add("b", lambda: seen.append("b"), ["a"])
    with pytest.raises(Trouble, match="the disk is full"):
        plan.run()
    assert seen == []


def test_every_failure_is_told() -> None:
    both = threading.Barrier(2, timeout=20)

    def fail(what: str) -> None:
        both.wait()
        raise Trouble(what)

    plan = Plan(Progress("test"))
    plan.add("a", lambda: fail("no disk"))
    plan.add("b", lambda: fail("no network"))
    with pytest.raises(Trouble, match=r"(?s)no (disk|network).*no (disk|network)"):
        plan.run()


def test_a_surprise_names_its_task() -> None:
    plan = Plan(Progress("test"))
    plan.add("divide", lambda: str(1 // 0))
    with pytest.raises(Trouble, match="divide: ZeroDivisionError"):
        plan.run()


def test_a_task_that_waits_gives_up_when_another_fails() -> None:
    plan = Plan(Progress("test"))

    def waits() -> None:
        while True:
            plan.go_on()
            time.sleep(0.01)

    def fails() -> None:
        raise Trouble("no disk")

    plan.add("waits", waits)
    plan.add("fails", fails)
    with pytest.raises(Trouble) as caught:
        plan.run()
    assert caught.value.what == "no disk"

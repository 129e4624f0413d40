"""policy.yaml: read at start, followed while the process runs, and never half."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from skybus.http.caller import Caller
from skybus.http.policy import Policy, PolicyError
from skybus.http.policy_file import MOST_BYTES, PolicyFile

RULES = {"list": "role:reader", "change": "role:member"}
POLL_SECONDS = 0.02


def may(policy: Policy, rule: str, role: str) -> bool:
    return policy.allows(rule, Caller(user_id="u", project_id="p", roles=frozenset([role])))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


@pytest.fixture
def file(path: Path) -> PolicyFile:
    return PolicyFile(path, Policy(RULES), POLL_SECONDS)


@asynccontextmanager
async def watched(file: PolicyFile) -> AsyncIterator[None]:
    await file.load()
    watching = asyncio.create_task(file.watch())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0.005)


def replace(path: Path, text: str) -> None:
    """As a careful editor does it."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


async def test_the_files_rules_hold_and_the_others_stay(file: PolicyFile, path: Path) -> None:
    path.write_text('# ours\n"change": "rule:staff"\n"staff": "role:staff"\n')
    await file.load()
    assert may(file.policy, "change", "staff")
    assert not may(file.policy, "change", "member")
    assert may(file.policy, "list", "reader")


@pytest.mark.parametrize("text", ["", "# nothing but comments\n", "{}\n"])
async def test_a_file_without_rules_changes_nothing(file: PolicyFile, path: Path, text: str) -> None:
    path.write_text(text)
    await file.load()
    assert file.policy.texts == RULES


async def test_there_need_be_no_file(file: PolicyFile) -> None:
    await file.load()
    await PolicyFile(None, file.policy).load()
    await PolicyFile(None, file.policy).watch()
    assert file.policy.texts == RULES


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("change: role:a or", "policy rule change cannot be read: 'role:a or'"),
        ("change: [role:a]", "policy rule change must be a text"),
        ("change: 7", "policy rule change must be a text"),
        ("change: rule:nowhere", "refers to the rule nowhere"),
        ("- role:a", "maps names of rules"),
        ("a: b: c", "is not YAML: mapping values"),
        ('a: "\x00"', "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("#" + "x" * MOST_BYTES, "at most 1000000 bytes"),
        ("!!python/object/apply:os.getcwd []", "is not YAML"),
    ],
)
async def test_a_file_that_cannot_be_read_is_an_error_at_start(
    file: PolicyFile, path: Path, text: str, says: str
) -> None:
    path.write_text(text)
    with pytest.raises(PolicyError) as caught:
        await file.load()
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)
    assert file.policy.texts == RULES


async def test_an_unknown_name_is_warned_of(file: PolicyFile, path: Path) -> None:
    path.write_text("chnage: role:staff\nlist: '@'\n")
    with capture_logs() as logs:
        await file.load()
    warned = [entry["rule"] for entry in logs if entry["log_level"] == "warning"]
    assert warned == ["chnage"]
    assert may(file.policy, "list", "nobody")


async def test_a_change_of_the_file_holds_soon(file: PolicyFile, path: Path) -> None:
    async with watched(file):
        replace(path, "change: role:staff")
        await until(lambda: may(file.policy, "change", "staff"))
        replace(path, "list: role:staff")
        await until(lambda: may(file.policy, "change", "member"))
        assert may(file.policy, "list", "staff")


async def test_after_a_bad_change_the_old_rules_hold_until_a_good_one(file: PolicyFile, path: Path) -> None:
    path.write_text("change: role:staff")
    with capture_logs() as logs:
        async with watched(file):
            replace(path, "change: role:a or")
            await until(lambda: any(entry["event"] == "policy_not_reloaded" for entry in logs))
            assert may(file.policy, "change", "staff")
            replace(path, "change: role:chief")
            await until(lambda: may(file.policy, "change", "chief"))
    assert sum(entry["event"] == "policy_not_reloaded" for entry in logs) == 1, "it is said once a change"


async def test_a_file_that_vanishes_loosens_nothing_until_somebody_says_so(file: PolicyFile, path: Path) -> None:
    path.write_text("list: '!'")
    async with watched(file):
        path.unlink()
        looks = 0
        while looks < 10:
            await asyncio.sleep(POLL_SECONDS)
            looks += 1
            assert not may(file.policy, "list", "reader")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: may(file.policy, "list", "reader"))


async def test_sighup_reads_the_file_at_once(path: Path) -> None:
    file = PolicyFile(path, Policy(RULES), 3600)
    before = signal.getsignal(signal.SIGHUP)
    async with watched(file):
        path.write_text("change: role:staff")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: may(file.policy, "change", "staff"))
    assert signal.getsignal(signal.SIGHUP) == before

"""A cloud of processes that belongs to the tests: brought up, shaken, asked how it is, and removed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg

REPO = Path(__file__).resolve().parents[3]
SKYBUS = Path(sys.executable).with_name("skybus")
SIMULATED = ("--simulated", "--workers", "--hosts", "4", "--gateways", "1", "--no-client")
AT_WORK = "SELECT kind, state, step, resource_id FROM saga.operation WHERE state IN ('waiting', 'running', 'undoing')"


class ShakenCloud:
    """One cloud in the folder `state`, of the form that `shape` asks `ops/up` for."""

    def __init__(self, state: Path, shape: Sequence[str] = SIMULATED) -> None:
        self.state = state
        self.shape = shape

    async def up(self) -> None:
        """Bring it up, or whatever of it is dead."""
        await self.program(REPO / "ops" / "up", *self.shape)

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Have `ops/keep` running."""
        environment = {**os.environ, "SKYBUS_STATE": str(self.state)}
        keeper = await asyncio.create_subprocess_exec(
            REPO / "ops" / "keep", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment
        )
        try:
            yield
        finally:
            keeper.terminate()
            try:
                await asyncio.wait_for(keeper.wait(), 10)
            except TimeoutError:
                keeper.kill()
                await keeper.wait()

    async def down(self) -> None:
        """Remove it with all that it made."""
        await self.program(REPO / "ops" / "down", "--purge")

    def pid(self, name: str) -> int:
        """Which process `name` is, by the record that the cloud made when it started it."""
        return int((self.state / "run" / f"{name}.pid").read_text().split()[0])

    def runs(self, name: str) -> bool:
        """Whether the process that was recorded as `name` still runs; what is left of a dead one does not count."""
        try:
            return Path(f"/proc/{self.pid(name)}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except FileNotFoundError:
            return False

    def signal(self, number: signal.Signals, *names: str) -> None:
        """Send a signal to processes of the cloud's own."""
        for name in names:
            os.kill(self.pid(name), number)

    def kill(self, *names: str) -> None:
        """SIGKILL: no goodbyes."""
        self.signal(signal.SIGKILL, *names)

    async def rows(self, sql: str) -> list[dict[str, Any]]:
        """What the database says."""
        config = tomllib.loads((self.state / "etc" / "skybus.toml").read_text())
        db = await asyncpg.connect(config["database"]["dsn"], timeout=10)
        try:
            return [dict(row) for row in await db.fetch(sql, timeout=10)]
        finally:
            await db.close()

    async def doctor(self) -> list[str]:
        """What `skybus doctor` finds wrong."""
        said = await self.program(
            SKYBUS, "--config", self.state / "etc" / "skybus.toml", "doctor", "--json", good=(0, 1)
        )
        return [" ".join(row.values()) for row in json.loads(said)["disagreements"]]

    async def program(
        self, *words: str | Path, good: tuple[int, ...] = (0,), seconds: float = 150, stdin: str = ""
    ) -> str:
        """What a program prints. Raises AssertionError with it when the program fails, TimeoutError."""
        child = await asyncio.create_subprocess_exec(
            *words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "SKYBUS_STATE": str(self.state)},
        )
        try:
            out, err = await asyncio.wait_for(child.communicate(stdin.encode()), seconds)
        finally:
            if child.returncode is None:
                child.terminate()
                await child.wait()
        assert child.returncode in good, f"{words} ended with {child.returncode}: {(out + err).decode()[-3000:]}"
        return out.decode()


async def empty(what: str, look: Callable[[], Awaitable[list[Any]]], seconds: float) -> None:
    """Wait until `look` finds nothing; fail after `seconds` with what it still finds."""
    end = time.monotonic() + seconds
    while found := await look():
        assert time.monotonic() < end, f"after {seconds:.0f} s there still are {what}: {found[:10]}"
        await asyncio.sleep(0.5)

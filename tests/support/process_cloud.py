"""A simulated cloud of real processes that belongs to the tests: brought up by `ops/up`, and removed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

REPO = Path(__file__).resolve().parents[2]
UP_SECONDS = 150


class ProcessCloud:
    """One cloud in the folder `state`; two gateway processes share the port of its API."""

    GATEWAYS = ("gateway-1", "gateway-2")
    SHAPE = ("--simulated", "--workers", "--hosts", "1", "--gateways", "2", "--no-client", "--no-first-server")

    def __init__(self, state: Path) -> None:
        self.state = state

    def up(self) -> None:
        """Bring it up, or whatever of it is dead."""
        self.ops("up", *self.SHAPE)

    def down(self) -> None:
        """Remove it with all that it made."""
        self.ops("down", "--purge")

    def ops(self, name: str, *words: str, seconds: float = UP_SECONDS) -> str:
        """What one of our commands prints. Raises AssertionError with it when the command fails."""
        return self.program(REPO / "ops" / name, *words, seconds=seconds)

    def program(self, *words: str | Path, seconds: float = 60) -> str:
        """What a program prints. Raises AssertionError with it when the program fails."""
        done = subprocess.run(
            words, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=seconds, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words} ended with {done.returncode}: {done.stdout[-3000:]}"
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """For programs that are to work on this cloud, clients included."""
        mine = {
            "SKYBUS_STATE": str(self.state),
            "SKYBUS_CONFIG": str(self.state / "etc" / "skybus.toml"),
            "OS_CLIENT_CONFIG_FILE": str(self.state / "clouds.yaml"),
        }
        return {name: value for name, value in os.environ.items() if not name.startswith("OS_")} | mine

    @property
    def entry(self) -> dict[str, Any]:
        """The administrator's entry of `clouds.yaml`."""
        found: dict[str, Any] = yaml.safe_load((self.state / "clouds.yaml").read_text())["clouds"]["skybus"]
        return found

    @property
    def url(self) -> str:
        """Where the Identity API is, without a slash at its end."""
        return str(self.entry["auth"]["auth_url"]).rstrip("/")

    @property
    def dsn(self) -> str:
        """How the control plane connects to the database."""
        return str(tomllib.loads((self.state / "etc" / "skybus.toml").read_text())["database"]["dsn"])

    def port(self, name: str) -> int:
        """A port of the cloud: `gateway` of the API, and one for each process with its /healthz and /metrics."""
        return int(json.loads((self.state / "ports.json").read_text())[name])

    def pid(self, name: str) -> int:
        """Which process `name` is, by the record that the cloud made when it started it."""
        return int((self.state / "run" / f"{name}.pid").read_text().split()[0])

    def signal(self, number: signal.Signals, *names: str) -> None:
        """Send a signal to processes of the cloud's own."""
        for name in names:
            os.kill(self.pid(name), number)

    def logs(self) -> str:
        """Everything that its processes have logged."""
        return "".join(path.read_text(errors="replace") for path in sorted((self.state / "log").glob("*.jsonl")))


@contextmanager
def process_cloud() -> Iterator[ProcessCloud]:
    """Up, and removed afterwards. Sockets lie below its folder, so the path has to be short."""
    folder = Path(tempfile.mkdtemp(prefix="shake-", dir=os.environ.get("SKYBUS_TEST_FOLDER")))
    folder.chmod(0o711)
    cloud = ProcessCloud(folder / "c")
    try:
        cloud.up()
        yield cloud
    finally:
        cloud.down()
        shutil.rmtree(folder)

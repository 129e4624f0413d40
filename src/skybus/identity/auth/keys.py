"""The keys of one purpose: files in one folder, `NUMBER.key`; the highest number signs, all verify.

A rotation takes steps. A new key is *staged* (`NUMBER.next`): it verifies and does not sign, so that every process and
every copy of the folder can know it before anything depends on it. *Promoted* to `.key`, it signs. The key before it is
deleted when nothing that it made can be left. A running process notices each step by itself.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import itertools
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import prometheus_client
import structlog

from skybus.config import ConfigError

log = structlog.get_logger()

KEY_BYTES = 32
SETTLED_NS = 2_000_000_000
"""A folder that changed less than this ago may change again without its time telling: file systems count in ticks."""
NEWEST = prometheus_client.Gauge(
    "skybus_identity_newest_key", "Number of the newest key that this process knows, staged ones included.", ["kind"]
)

Kind = Literal["tokens", "credentials"]


def key_create(folder: Path) -> Path:
    """Write a new key, readable by its owner alone, which signs from now on; answer its path. Blocks on the disk."""
    return _write(folder, "key")


def key_stage(folder: Path) -> Path:
    """Write a new key that verifies and does not sign yet, unless there is one; answer its path. Blocks on the disk."""
    staged = [path for path in _files(folder) if path.suffix == ".next"]
    return staged[-1] if staged else _write(folder, "next")


def key_promote(folder: Path) -> Path | None:
    """Let the staged key sign; answer its path, or None when none is staged. Blocks on the disk."""
    promoted = None
    for path in _files(folder):
        if path.suffix == ".next":
            # The time of the file says since when the key before it makes nothing any more.
            os.utime(path)
            promoted = path.rename(path.with_suffix(".key"))
    return promoted


def keys_ensure(folder: Path) -> None:
    """Make the folder's first key if it has none. Blocks on the disk."""
    if not any(path.suffix == ".key" for path in _files(folder)):
        with contextlib.suppress(FileExistsError):  # another process was quicker
            key_create(folder)


def keys_superseded(folder: Path) -> list[tuple[Path, datetime]]:
    """The keys that make nothing any more, and since when. Blocks on the disk."""
    signing = [path for path in _files(folder) if path.suffix == ".key"]
    return [(old, datetime.fromtimestamp(newer.stat().st_mtime, UTC)) for old, newer in itertools.pairwise(signing)]


def key_number(path: Path) -> int:
    """The number of the key in this file."""
    return int(path.stem)


def _write(folder: Path, suffix: str) -> Path:
    """A new key under the next number. It appears whole or not at all: somebody may be reading the folder."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{max(map(key_number, _files(folder)), default=0) + 1:06d}.{suffix}"
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # fails where the file is there already, unlike a rename
    finally:
        draft.unlink(missing_ok=True)
    return path


def _files(folder: Path) -> list[Path]:
    """Every key, the oldest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.suffix in (".key", ".next") and path.stem.isdecimal()]
    return sorted(found, key=key_number)


class Keys:
    """The keys of one folder, read again when the folder has changed."""

    def __init__(self, folder: Path, kind: Kind = "tokens") -> None:
        self.folder = folder
        self.kind: Kind = kind
        self._keys: dict[int, bytes] = {}
        self._signing = 0
        self._changed_ns = -1
        self.refresh()

    def refresh(self) -> bool:
        """Read the keys if the folder has changed; whether it may have. Raises ConfigError when there is no usable
        key."""
        try:
            changed = self.folder.stat().st_mtime_ns
            if changed == self._changed_ns:
                return False
            keys, signing = self._read()
        except OSError as error:
            if self._keys:
                # A folder that cannot be read for a moment must not stop a gateway that has its keys.
                log.warning("keys_unreadable", kind=self.kind, folder=str(self.folder), reason=str(error))
                return False
            raise ConfigError(f"reading the keys of {self.kind} in {self.folder}: {error.strerror}") from error
        if not signing:
            raise ConfigError(f"there is no key of {self.kind} in {self.folder}: run the bootstrap")
        self._keys, self._signing = keys, signing
        self._changed_ns = changed if time.time_ns() - changed > SETTLED_NS else -1
        NEWEST.labels(self.kind).set(max(keys))
        return True

    def _read(self) -> tuple[dict[int, bytes], int]:
        """The keys by number, the newest first: it made most of what is shown; and which of them signs."""
        files = _files(self.folder)
        signing = max((key_number(path) for path in files if path.suffix == ".key"), default=0)
        return {key_number(path): _read(path) for path in reversed(files)}, signing

    @property
    def signing(self) -> bytes:
        """The key that signs."""
        return self._keys[self._signing]

    @property
    def signing_number(self) -> int:
        """The number of the key that signs."""
        return self._signing

    @property
    def verifying(self) -> list[bytes]:
        """All keys, the newest first."""
        return list(self._keys.values())

    def numbered(self, number: int) -> bytes | None:
        """The key with this number, or None. The folder is looked at when it is not known."""
        if number not in self._keys:
            self.refresh()
        return self._keys.get(number)


def _read(path: Path) -> bytes:
    if path.stat().st_mode & 0o007:
        raise ConfigError(f"key {path} is readable by everybody: it must have mode 600")
    try:
        key = base64.b64decode(path.read_bytes().strip(), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"key {path} is not {KEY_BYTES} bytes in base64")
    return key

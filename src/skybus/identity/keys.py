"""The keys that sign tokens: files in one folder; the newest (by name) signs, all verify.

Rotation: write a new file under a higher number, and delete the oldest once its last token has expired. A running
process notices both by itself.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

import structlog

from skybus.config import ConfigError

log = structlog.get_logger()

KEY_BYTES = 32


def key_create(folder: Path) -> Path:
    """Write a new key, readable by its owner alone, which signs from now on; answer its path. Blocks on the disk."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    number = max((int(path.stem) for path in _files(folder)), default=0) + 1
    path = folder / f"{number:06d}.key"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return path


def keys_ensure(folder: Path) -> None:
    """Make the folder's first key if it has none. Blocks on the disk."""
    if not _files(folder):
        key_create(folder)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.key") if path.stem.isdecimal()) if folder.is_dir() else []


class Keys:
    """The keys of one folder, read again when the folder has changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._keys: list[bytes] = []
        self._changed_ns = -1
        self.refresh()

    def refresh(self) -> bool:
        """Read the keys if the folder has changed; whether it had. Raises ConfigError when there is no usable key."""
        try:
            changed = self.folder.stat().st_mtime_ns
            if changed == self._changed_ns:
                return False
            # The newest first: it made most tokens.
            self._keys = [_read(path) for path in reversed(_files(self.folder))]
        except OSError as error:
            if self._keys:
                # A folder that cannot be read for a moment must not stop a gateway that has its keys.
                log.warning("token_keys_unreadable", folder=str(self.folder), reason=str(error))
                return False
            raise ConfigError(f"reading the token keys in {self.folder}: {error.strerror}") from error
        if not self._keys:
            raise ConfigError(f"there is no token key in {self.folder}: run the bootstrap")
        self._changed_ns = changed
        return True

    @property
    def signing(self) -> bytes:
        """The key that signs."""
        return self._keys[0]

    @property
    def verifying(self) -> list[bytes]:
        """All keys, the newest first."""
        return self._keys


def _read(path: Path) -> bytes:
    if path.stat().st_mode & 0o007:
        raise ConfigError(f"token key {path} is readable by everybody: it must have mode 600")
    try:
        key = base64.b64decode(path.read_bytes().strip(), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"token key {path} is not {KEY_BYTES} bytes in base64")
    return key

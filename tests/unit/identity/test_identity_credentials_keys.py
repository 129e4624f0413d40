"""Folders of keys: one key signs, a staged one waits, and nobody ever reads half a key."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import prometheus_client
import pytest

from skybus.config import ConfigError
from skybus.identity.auth.keys import (
    Keys,
    key_create,
    key_number,
    key_promote,
    key_stage,
    keys_ensure,
    keys_superseded,
)


def known(kind: str) -> float | None:
    """What the metrics say."""
    return prometheus_client.REGISTRY.get_sample_value("skybus_identity_newest_key", {"kind": kind})


def test_a_staged_key_verifies_and_does_not_sign(tmp_path: Path) -> None:
    keys_ensure(tmp_path)
    keys = Keys(tmp_path, "credentials")
    assert known("credentials") == 1
    first = keys.signing
    staged = key_stage(tmp_path)
    assert key_stage(tmp_path) == staged
    keys.refresh()
    assert known("credentials") == 2
    assert (keys.signing, keys.signing_number, len(keys.verifying)) == (first, 1, 2)
    assert keys_superseded(tmp_path) == []
    assert key_promote(tmp_path) == tmp_path / "000002.key"
    assert key_promote(tmp_path) is None
    keys.refresh()
    assert (keys.signing_number, len(keys.verifying)) == (2, 2)
    assert keys.numbered(1) == first
    assert keys.numbered(9) is None
    assert [key_number(path) for path, _ in keys_superseded(tmp_path)] == [1]
    assert staged.with_suffix(".key").stat().st_mode & 0o777 == 0o600


def test_a_folder_with_a_staged_key_alone_has_no_key_yet(tmp_path: Path) -> None:
    key_stage(tmp_path)
    with pytest.raises(ConfigError, match="credentials"):
        Keys(tmp_path, "credentials")
    keys_ensure(tmp_path)
    assert Keys(tmp_path, "credentials").signing_number == 2


def test_whoever_reads_while_keys_are_made_reads_whole_keys(tmp_path: Path) -> None:
    keys_ensure(tmp_path)
    done = threading.Event()
    problems: list[str] = []

    def read() -> None:
        keys = Keys(tmp_path)
        while not done.is_set():
            try:
                keys.refresh()
            except ConfigError as error:
                problems.append(str(error))
                return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(50):
            key_stage(tmp_path)
            key_promote(tmp_path)
            key_create(tmp_path)
    finally:
        done.set()
        reader.join(10)
    assert problems == []
    late = Keys(tmp_path)
    assert (late.signing_number, len(late.verifying)) == (101, 101)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".key"] * 101, "no drafts are left"


def test_a_change_is_seen_even_when_the_folders_time_does_not_tell(tmp_path: Path) -> None:
    """Two changes within one tick of the file system have one time."""
    keys_ensure(tmp_path)
    keys = Keys(tmp_path)
    before = tmp_path.stat()
    key_create(tmp_path)
    os.utime(tmp_path, ns=(before.st_atime_ns, before.st_mtime_ns))
    keys.refresh()
    assert keys.signing_number == 2

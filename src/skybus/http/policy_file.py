"""policy.yaml: the rules that operators put in the place of ours, by OpenStack's own names.

It is read at start, where a rule that cannot be read is an error, and again on SIGHUP and when it has changed, where
the old rules go on to hold until it can be read. A file that vanishes changes nothing either: an editor may be about to
put a new one there, and rules that forbid must not be gone for that moment. Only SIGHUP takes it for what was meant.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import structlog
import yaml

from skybus.http.policy import Policy, PolicyError

log = structlog.get_logger()

POLL_SECONDS = 2.0
"""Between two looks; a change holds after two that found the same, so that no half-written file is read."""
MOST_BYTES = 1_000_000

Stamp = tuple[int, int, int] | None
"""Inode, size and time of the last change; None when there is no file."""


class PolicyFile:
    """The overrides of one process. Without a path, or without a file there, the defaults hold."""

    def __init__(self, path: Path | None, policy: Policy, poll_seconds: float = POLL_SECONDS) -> None:
        self.path = path
        self.policy = policy
        self.poll_seconds = poll_seconds
        self._read: Stamp = None
        """What the file was like when it was read last, well or not."""

    async def load(self) -> None:
        """Let the file's rules hold. Raises PolicyError, whose message names the file and the rule."""
        if self.path is None:
            return
        self._read = self._stamp()
        try:
            texts = await asyncio.to_thread(read_rules, self.path) if self._read is not None else {}
            unknown = self.policy.override(texts)
        except PolicyError as error:
            raise PolicyError(f"{self.path}: {error}") from error
        for name in sorted(unknown):
            log.warning("policy_rule_unknown", rule=name, file=str(self.path))
        if texts:
            log.info("policy_loaded", file=str(self.path), rules=len(texts))

    async def reload(self) -> None:
        """Let the file's rules hold if they can be read; the log says why where they cannot."""
        try:
            await self.load()
        except PolicyError as error:
            log.error("policy_not_reloaded", reason=str(error))

    async def watch(self) -> None:
        """Follow the file, and SIGHUP, until cancelled."""
        if self.path is None:
            return
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, told.set)
        seen = self._read
        try:
            while True:
                try:
                    await asyncio.wait_for(told.wait(), self.poll_seconds)
                except TimeoutError:
                    now = self._stamp()
                    settled, seen = now == seen, now
                    if not settled or now in (None, self._read):
                        continue
                told.clear()
                await self.reload()
                seen = self._read
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    def _stamp(self) -> Stamp:
        try:
            found = self.path.stat() if self.path is not None else None
        except OSError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns) if found is not None else None


def read_rules(path: Path) -> dict[str, str]:
    """The rules in a file. Raises PolicyError for one that is no mapping of names to texts."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise PolicyError(f"a policy file has at most {MOST_BYTES} bytes")
        found: Any = yaml.safe_load(data)
    except OSError as error:
        raise PolicyError(f"cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise PolicyError(f"is not YAML: {' '.join(str(error).split())[:300]}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise PolicyError("a policy file maps names of rules to rules")
    for name, text in found.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise PolicyError(f'policy rule {str(name)[:100]} must be a text, like "role:admin", and is {text!r:.100}')
    return found

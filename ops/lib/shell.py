"""Run one program to its end, with a deadline and an error that says what was being done."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .trouble import Trouble


def run(
    argv: Sequence[str | Path],
    doing: str,
    *,
    timeout: float = 60.0,
    env: Mapping[str, str] | None = None,
    stdin: str | bytes | None = None,
    cwd: Path | None = None,
    advice: str = "",
) -> str:
    """Run `argv` and return its standard output. Raises Trouble when it fails or takes over `timeout` s."""
    words = [str(word) for word in argv]
    given = stdin.encode() if isinstance(stdin, str) else stdin
    source = {"input": given} if given is not None else {"stdin": subprocess.DEVNULL}
    try:
        done = subprocess.run(
            words, capture_output=True, timeout=timeout, env=merged(env), cwd=cwd, check=False, **source
        )
    except FileNotFoundError:
        raise Trouble(f"{doing}: the program {words[0]} is not there", advice) from None
    except subprocess.TimeoutExpired:
        raise Trouble(f"{doing}: no end after {timeout:.0f} s ({' '.join(words[:4])})", advice) from None
    if done.returncode != 0:
        said = tail((done.stderr or done.stdout).decode(errors="replace"))
        raise Trouble(f"{doing}: {words[0]} ended with {done.returncode}\n{said}", advice)
    return done.stdout.decode(errors="replace")


def succeeds(argv: Sequence[str | Path], timeout: float = 20.0) -> bool:
    """Whether `argv` ends with 0 in time; a program that is not there does not."""
    try:
        return (
            subprocess.run(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=timeout,
                check=False,
            ).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def merged(env: Mapping[str, str] | None) -> dict[str, str]:
    """Our environment with `env` laid over it."""
    return {**os.environ, **(env or {})}


def tail(text: str, lines: int = 12) -> str:
    """The last lines of `text`, indented: enough to see why, not a wall."""
    return "\n".join("   | " + line for line in text.rstrip().splitlines()[-lines:])

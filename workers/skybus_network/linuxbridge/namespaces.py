"""Network namespaces: making them, working inside them, running programs inside them.

A thread that enters a namespace never comes back: it does its work and ends, so no other work can land in the wrong
namespace. `None` stands for the namespace that the process runs in.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from skybus.errors import CommandTroubled

T = TypeVar("T")

FOLDER = Path("/run/netns")
CLONE_NEWNET = 0x4000_0000
PROGRAM_SECONDS = 15.0
"""Deadline of a program that is to do one thing and end."""


async def inside(namespace: str | None, work: Callable[[], T]) -> T:
    """What the blocking `work` returns or raises inside `namespace`. Raises OSError when there is none."""
    return await asyncio.to_thread(inside_now, namespace, work)


def inside_now(namespace: str | None, work: Callable[[], T]) -> T:
    """As `inside`, for a caller that may block."""
    if namespace is None:
        return work()
    results: list[T] = []
    errors: list[BaseException] = []

    def enter_and_work() -> None:
        try:
            _enter(namespace)
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=enter_and_work, name=f"inside-{namespace}", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _enter(namespace: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(FOLDER / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(fd, CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), namespace)
    finally:
        os.close(fd)


def namespace_id(namespace: str) -> int | None:
    """A number that this namespace alone has while it exists, or None when there is none of that name."""
    try:
        found = (FOLDER / namespace).stat()
    except FileNotFoundError:
        return None
    # `ip netns add` killed half-way leaves an ordinary file.
    return found.st_ino if found.st_dev == os.stat("/proc/self/ns/net").st_dev else None


def namespace_list() -> list[str]:
    """The names of all namespaces of this machine."""
    try:
        return sorted(os.listdir(FOLDER))
    except FileNotFoundError:
        return []


async def namespace_ensure(namespace: str) -> None:
    """Make a namespace. Content to find it."""
    if namespace_id(namespace) is not None:
        return
    (FOLDER / namespace).unlink(missing_ok=True)
    await run(["ip", "netns", "add", namespace], f"make namespace {namespace}")


async def namespace_remove(namespace: str) -> None:
    """Remove a namespace. Content to find none."""
    if (FOLDER / namespace).exists():
        await run(["ip", "netns", "delete", namespace], f"remove namespace {namespace}")


async def run(
    argv: Sequence[str], doing: str, *, namespace: str | None = None, stdin: str = "", seconds: float = PROGRAM_SECONDS
) -> str:
    """The output of a program run inside `namespace`. Raises `CommandTroubled` that says what was being done when the
    program fails, cannot be started or is not done in time."""
    enter = [] if namespace is None else ["nsenter", f"--net={FOLDER / namespace}"]
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(*enter, *argv, stdin=pipe, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise CommandTroubled(f"could not {doing}: {argv[0]}: {error.strerror}") from error
    try:
        async with asyncio.timeout(seconds):
            output, complaint = await process.communicate(stdin.encode())
    except TimeoutError:
        raise CommandTroubled(f"could not {doing}: {argv[0]} was not done in {seconds:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = complaint.decode(errors="replace").strip()[:500]
        raise CommandTroubled(f"could not {doing}: {argv[0]} ended with {process.returncode}: {said}")
    return output.decode(errors="replace")

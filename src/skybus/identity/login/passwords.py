"""Password hashes: bcrypt, in a bounded pool of threads beside the event loop."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import bcrypt

from skybus.errors import Unavailable

THREADS = max(1, min(4, (os.cpu_count() or 1) // 2))
"""Hashes at once. They release Python's lock, and so take turns on the machine's cores with everything else: with two
gateways on a machine, more would make no login quicker and every other call slower."""
NICE = 5
"""How much the threads give way: an event loop that has something to do gets three quarters of a core that it shares
with a hash, and is let in first when it wakes. Much more, and a busy machine would let nobody log in."""
WAITING = 128
"""Hashes that may wait; more are refused, so that a flood of logins cannot pile up work for minutes."""


def give_way() -> None:
    """Lower the priority of the calling thread alone, which on Linux is scheduled by itself."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


def _fit(password: str) -> bytes:
    """Something that bcrypt reads to its end: it stops at 72 bytes and at a NUL."""
    return base64.b64encode(hashlib.sha256(password.encode("utf-8", "surrogatepass")).digest())


def hash_now(password: str, rounds: int) -> str:
    """The hash of `password`. Blocks: 0.2 s at 12 rounds."""
    return bcrypt.hashpw(_fit(password), bcrypt.gensalt(rounds)).decode()


def check_now(password: str, hashed: str) -> bool:
    """Whether `hashed` is a hash of `password`. Blocks as long as making it did."""
    try:
        return bcrypt.checkpw(_fit(password), hashed.encode())
    except ValueError:
        return False


class Passwords:
    """Hashes and checks off the event loop, at a cost of 2^`rounds`."""

    def __init__(self, rounds: int = 12) -> None:
        self.rounds = rounds
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="password", initializer=give_way)
        self._waiting = 0
        # Checked when there is no user, so that the answer takes as long as for a wrong password.
        self._nobody = hash_now("nobody has this password", rounds)

    def close(self) -> None:
        """Give the threads back; what is in hand finishes."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """The hash of `password`. Raises Unavailable when too many wait."""
        return str(await self._run(hash_now, password, self.rounds))

    async def check(self, password: str, hashed: str | None) -> bool:
        """Whether `hashed` is a hash of `password`; False, after the same time, when there is none.

        Raises Unavailable when too many wait.
        """
        right = await self._run(check_now, password, hashed or self._nobody)
        return bool(right) and hashed is not None

    async def _run(self, work: object, *args: object) -> object:
        if self._waiting >= WAITING:
            raise Unavailable("Too many logins are waiting to be checked; try again in a moment.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)  # type: ignore[arg-type]
        finally:
            self._waiting -= 1

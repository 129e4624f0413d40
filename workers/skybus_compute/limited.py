"""Programs that read what users gave us run with limits: time, processor seconds, memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from skybus.errors import CloudError, CommandTroubled

log = structlog.get_logger()

CPU_SECONDS = 30
MEMORY_BYTES = 1 << 30


class ProgramFailed(CloudError):
    """The program ended with an error; what it printed is in the log, for it may name paths of the host."""

    code, retry = "compute.program-failed", True


async def run_limited(argv: Sequence[str], *, what: str, seconds: float = 60.0) -> bytes:
    """What the program printed. Raises ProgramFailed, or CommandTroubled when it took longer than `seconds`.

    `prlimit` sets the limits, since a hook between fork and exec is not safe in a process with threads.
    """
    limits = ("prlimit", f"--cpu={CPU_SECONDS}", f"--as={MEMORY_BYTES}", "--core=0", "--")
    try:
        process = await asyncio.create_subprocess_exec(
            *limits,
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        )
    except OSError as error:
        raise CommandTroubled(f"cannot {what}: {error.strerror}") from error
    try:
        out, err = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        raise CommandTroubled(f"cannot {what}: it took longer than {seconds:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = err[-500:].decode(errors="replace")
        log.warning("program_failed", program=argv[0], what=what, status=process.returncode, said=said)
        raise ProgramFailed(f"cannot {what}: {argv[0]} ended with status {process.returncode}")
    return out

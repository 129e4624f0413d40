"""Speaks to one tgtd over its management socket, in the messages that tgtadm sends (tgt's `usr/tgtadm.h`).

Why not tgtadm itself: it takes the CHAP password as an argument, and while it runs any local user reads it in /proc.
On the socket, which only our own user may open, nobody does. It also saves a process per message. An operator still
uses tgtadm on the same daemon: `TGT_IPC_SOCKET=<folder>/control tgtadm -C 1 --mode target --op show`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from enum import IntEnum
from pathlib import Path

from skybus.errors import CommandTroubled

REQUEST = struct.Struct("=II64sIiQQIIIIII")
"""mode, op, driver, length of all, target, session, LUN, connection, host, device type, account direction, pack, force;
the same since tgt 1.0.18 of 2011, in the machine's byte order."""
RESPONSE = struct.Struct("=II")
PEER = struct.Struct("=iII")
"""pid, uid, gid, as SO_PEERCRED has them."""

LONGEST_PATH = 107
"""Bytes of a Unix socket's path."""
NO_LUN = 2**64 - 1
MOST_BYTES = 64 << 20
SECONDS = 10.0
"""Deadline of one exchange. tgtd answers in microseconds; deleting a target waits for the writes under way."""


class Mode(IntEnum):
    """What a message is about."""

    SYSTEM = 0
    TARGET = 1
    UNIT = 2
    PORTAL = 3
    CONNECTION = 6
    ACCOUNT = 7


class Op(IntEnum):
    """What shall happen to it."""

    NEW = 0
    DELETE = 1
    SHOW = 2
    BIND = 3
    UNBIND = 4
    UPDATE = 5


class Refusal(IntEnum):
    """The refusals that we tell apart."""

    NO_TARGET = 4
    NO_SESSION = 6
    NO_CONNECTION = 7
    NO_ADDRESS = 13
    NO_USER = 15
    TARGET_ACTIVE = 19
    LUN_ACTIVE = 20


class TgtRefused(CommandTroubled):
    """tgtd understood the message and said no; `number` is its reason (tgt's `usr/tgtadm_error.h`)."""

    code = "volume.target-daemon-refused"

    def __init__(self, doing: str, number: int) -> None:
        super().__init__(f"the target daemon refused to {doing} (its error {number})", number=number)
        self.number = number


class TgtSilent(CommandTroubled):
    """tgtd is not running, or did not answer in time."""

    code = "volume.target-daemon-down"


class TgtControl:
    """One daemon's management socket."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def usable(self) -> bool:
        """Whether a socket can have that path; where it cannot, no daemon is."""
        return len(os.fsencode(self.path)) <= LONGEST_PATH

    def pid(self) -> int | None:
        """The process that answers on the socket, or None when none does. Blocks for two seconds at most.

        The kernel says who listens, so this cannot be mistaken for another process as a recorded number can. Raises
        TgtSilent when somebody listens and does not take the connection.
        """
        if not self.usable:
            return None
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(2.0)
            try:
                peer.connect(str(self.path))
            except (FileNotFoundError, ConnectionRefusedError):
                return None
            except OSError as error:
                raise TgtSilent(f"the target daemon does not answer: {error}") from error
            pid: int = PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))[0]
            return pid

    async def ask(
        self,
        doing: str,
        mode: Mode,
        op: Op,
        *,
        tid: int = -1,
        lun: int = NO_LUN,
        connection: tuple[int, int] = (0, 0),
        force: bool = False,
        body: str = "",
    ) -> str:
        """Send one message, and return the text that comes back.

        `doing` says in errors what was being done; `connection` is the number of a session and of a connection in it.

        Raises TgtRefused, TgtSilent.
        """
        content = body.encode() + b"\0" if body else b""
        session, number = connection
        length = REQUEST.size + len(content)
        request = REQUEST.pack(mode, op, b"iscsi", length, tid, session, lun, number, 0, 0, 0, 0, force) + content
        try:
            async with asyncio.timeout(SECONDS):
                error, text = await self._exchange(request)
        except TimeoutError as late:
            raise TgtSilent(f"the target daemon did not {doing} in {SECONDS:g} seconds") from late
        except (OSError, EOFError) as broken:
            raise TgtSilent(f"the target daemon could not be asked to {doing}: {broken}") from broken
        if error:
            raise TgtRefused(doing, error)
        return text

    async def _exchange(self, request: bytes) -> tuple[int, str]:
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            writer.write(request)
            await writer.drain()
            error, length = RESPONSE.unpack(await reader.readexactly(RESPONSE.size))
            if length < RESPONSE.size or length > MOST_BYTES:
                raise OSError("its answer is not of tgt's management protocol")
            text = await reader.readexactly(length - RESPONSE.size)
            return error, text.rstrip(b"\0").decode(errors="replace")
        finally:
            writer.close()
            # The daemon closes its side right after the answer; a reset is no news.
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def field(name: str, value: str | os.PathLike[str]) -> str:
    """`name=value` of a message's body. Raises ValueError for a value that would be read as a second field."""
    text = os.fspath(value)
    if "," in text or "\0" in text:
        raise ValueError(f"{name} has a character that separates fields")
    return f"{name}={text}"

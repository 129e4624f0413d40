"""A line to the test database that a test can cut, so that one process alone loses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit


class Line:
    """Carries bytes between a port of its own and the database, as long as it is whole."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._carriers: set[asyncio.Task[None]] = set()
        self._whole = asyncio.Event()
        self._whole.set()
        self._refuses = False

    @property
    def dsn(self) -> str:
        """How to connect through this line."""
        assert self._server is not None
        where = urlsplit(self._dsn)
        port = self._server.sockets[0].getsockname()[1]
        user = f"{where.username}:{where.password}@" if where.password else f"{where.username}@"
        return urlunsplit(where._replace(netloc=f"{user}127.0.0.1:{port}"))

    def cut(self) -> None:
        """End every connection, and take no new one."""
        self._refuses = True
        for writer in self._writers:
            writer.close()

    def silence(self) -> None:
        """Keep every connection, and carry nothing: as when a cable is pulled."""
        self._whole.clear()

    def mend(self) -> None:
        """Carry again."""
        self._refuses = False
        self._whole.set()

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def close(self) -> None:
        """Let go of everything."""
        self.mend()
        self.cut()
        assert self._server is not None
        self._server.close()
        for carrier in self._carriers:
            carrier.cancel()
        await asyncio.gather(*self._carriers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.close()
            return
        where = urlsplit(self._dsn)
        far_reader, far_writer = await asyncio.open_connection(where.hostname, where.port)
        for carrier in (self._carry(reader, far_writer), self._carry(far_reader, writer)):
            task = asyncio.create_task(carrier)
            self._carriers.add(task)
            task.add_done_callback(self._carriers.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while data := await reader.read(65_536):
                await self._whole.wait()
                writer.write(data)
                await writer.drain()
        except (ConnectionError, OSError):
            pass  # cut
        finally:
            self._writers.discard(writer)
            writer.close()


@asynccontextmanager
async def line_to(dsn: str) -> AsyncIterator[Line]:
    """A whole line."""
    line = Line(dsn)
    await line.open()
    try:
        yield line
    finally:
        await line.close()

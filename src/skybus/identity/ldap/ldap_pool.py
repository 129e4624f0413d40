"""Connections to one directory that are already bound, and the patience we have with it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from skybus.errors import Unavailable
from skybus.identity.ldap.ldap_connection import Connection, LdapError
from skybus.identity.ldap.ldap_settings import LdapSettings

log = structlog.get_logger()

SECONDS = 5.0
"""Deadline of one question, and of the waiting for one's turn to ask it."""
REST_SECONDS = 2.0
"""How long a directory that did not answer is left alone: meanwhile, who asks is told at once."""
AWAY = "The directory of this domain does not answer at the moment."


class LdapPool:
    """At most `settings.pool_size` connections at a time."""

    def __init__(self, settings: LdapSettings) -> None:
        self.settings = settings
        self._idle: list[tuple[float, Connection]] = []
        self._turns = asyncio.Semaphore(settings.pool_size)
        self._rests_until = 0.0
        self._tls: ssl.SSLContext | None = None

    def close(self) -> None:
        """Give back the connections that nobody uses."""
        while self._idle:
            self._idle.pop()[1].close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection bound as the domain's own user, for a bounded time. Raises Unavailable when there is none to be
        had, or when the directory fails or dawdles meanwhile."""
        async with self._turn(), self._patience():
            connection = self._kept() or await self._bound()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._keep(connection)

    @asynccontextmanager
    async def fresh(self) -> AsyncIterator[Connection]:
        """A connection that nobody is bound on, closed afterwards. Raises Unavailable as above."""
        async with self._turn(), self._patience():
            connection = await self._connected()
            try:
                yield connection
            finally:
                connection.close()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One of the few who may ask. That many want to is not the directory's fault: it is not left alone for it."""
        self._need_awake()
        try:
            async with asyncio.timeout(SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise Unavailable("Too many ask the directory of this domain at the moment.") from None
        try:
            self._need_awake()
            yield
        finally:
            self._turns.release()

    def _need_awake(self) -> None:
        if time.monotonic() < self._rests_until:
            raise Unavailable(AWAY)

    @asynccontextmanager
    async def _patience(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(SECONDS):
                yield
        except (LdapError, OSError, TimeoutError) as error:
            self._rests_until = time.monotonic() + REST_SECONDS
            log.warning("directory_failed", urls=self.settings.urls, reason=f"{type(error).__name__}: {error}"[:300])
            raise Unavailable(AWAY) from error

    def _kept(self) -> Connection | None:
        while self._idle:
            until, connection = self._idle.pop()
            if until > time.monotonic() and not connection.closing:
                return connection
            connection.close()
        return None

    def _keep(self, connection: Connection) -> None:
        if self.settings.lifetime_seconds and not connection.closing:
            self._idle.append((time.monotonic() + self.settings.lifetime_seconds, connection))
        else:
            connection.close()

    async def _bound(self) -> Connection:
        connection = await self._connected()
        try:
            if self.settings.user:
                await connection.bind(self.settings.user, self.settings.password)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _connected(self) -> Connection:
        """A connection to the first of the directory's addresses that answers. Raises OSError or LdapError."""
        failed: Exception = OSError("no address")
        for scheme, host, port in self.settings.urls:
            secure = scheme == "ldaps" or self.settings.start_tls
            try:
                return await Connection.open(
                    host, port, tls=self._context() if secure else None, start_tls=scheme != "ldaps"
                )
            except (OSError, LdapError) as error:
                failed = error
        raise failed

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            settings = self.settings
            context = ssl.create_default_context(cafile=settings.ca_file, capath=settings.ca_folder)
            if settings.certificates == "never":
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._tls = context
        return self._tls

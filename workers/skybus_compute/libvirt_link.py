"""The connection to one libvirtd: calls with a deadline, events, and a way back after libvirtd was restarted.

libvirt wants an event loop for the whole process. We give it its own, in a thread, and hop from there into asyncio: the
one that lends it asyncio's changes the loop from whichever thread makes a call, which uvloop does not survive.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import libvirt
import structlog

from skybus.errors import CommandTroubled

log = structlog.get_logger()

T = TypeVar("T")

CALL_SECONDS = 30.0
CONNECT_SECONDS = 30.0
AWAY_SECONDS = 20.0
"""How long an order waits for libvirtd to come back: a restart takes a second or two, and is no reason to fail."""
KEEPALIVE = (5, 3)
"""Seconds between pings, and how many may stay unanswered."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
ACTING_THREADS = 16
LOOKING_THREADS = 4

_loop_lock = threading.Lock()
_loop_runs = False


def run_libvirt_events() -> None:
    """Start libvirt's event loop for this process, once. Must come before the first connection."""
    global _loop_runs
    with _loop_lock:
        if _loop_runs:
            return
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # it prints every error otherwise
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_forever, name="libvirt-events", daemon=True).start()
        _loop_runs = True


def _run_forever() -> None:
    while True:
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()


class LibvirtLink:
    """One libvirtd. `changed` is called in the asyncio loop with a domain's UUID and name after its life changed, and
    `connected` after each time the connection was made."""

    def __init__(self, uri: str, changed: Callable[[str, str], None], connected: Callable[[], None]) -> None:
        self._uri = uri
        self._changed = changed
        self._connected = connected
        self._connection: Any = None
        self._attempt = 0
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._acting = ThreadPoolExecutor(ACTING_THREADS, thread_name_prefix="libvirt-act")
        self._looking = ThreadPoolExecutor(LOOKING_THREADS, thread_name_prefix="libvirt-look")

    async def start(self) -> None:
        """Connect, and stay connected. Raises CommandTroubled when libvirtd is not there in time."""
        run_libvirt_events()
        self._keeper = asyncio.create_task(self._keep())
        try:
            await asyncio.wait_for(self._up.wait(), CONNECT_SECONDS)
        except TimeoutError:
            raise CommandTroubled(f"cannot connect to libvirt at {self._uri} within {CONNECT_SECONDS:g} s") from None

    async def close(self) -> None:
        """Let go of the connection."""
        self._attempt += 1
        self._up.clear()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(CommandTroubled):
                await self._in_thread(self._acting, "disconnect", 5.0, _disconnect, connection)
        for threads in (self._acting, self._looking):
            threads.shutdown(wait=False)

    async def call(self, what: str, function: Callable[..., T], *arguments: Any, seconds: float = CALL_SECONDS) -> T:
        """`function(connection, *arguments)`, in a thread.

        Raises CommandTroubled when there is no connection for some time, no answer within `seconds`, or an error from
        libvirt; its text goes to the log, since it may name what is on the host. A call past its deadline goes on in
        its thread until the keepalive ends it.
        """
        return await self._in_thread(self._acting, what, seconds, function, await self._present(what), *arguments)

    async def look(self, what: str, function: Callable[..., T], *arguments: Any) -> T:
        """As `call`, for what changes nothing: in threads of its own, so that a heartbeat never queues behind boots."""
        return await self._in_thread(self._looking, what, CALL_SECONDS, function, await self._present(what), *arguments)

    async def _present(self, what: str) -> Any:
        """The connection, awaited for a while when libvirtd has just gone."""
        try:
            async with asyncio.timeout(AWAY_SECONDS):
                while self._connection is None:  # it may be lost again before we have our turn
                    await self._up.wait()
        except TimeoutError:
            raise CommandTroubled(f"cannot {what}: there is no connection to the hypervisor") from None
        return self._connection

    async def _in_thread(
        self, threads: ThreadPoolExecutor, what: str, seconds: float, function: Callable[..., T], *arguments: Any
    ) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.run_in_executor(threads, function, *arguments), seconds)
        except TimeoutError:
            raise CommandTroubled(f"cannot {what}: the hypervisor did not answer within {seconds:g} s") from None
        except libvirt.libvirtError as error:
            log.warning("libvirt_error", what=what, code=error.get_error_code(), said=error.get_error_message())
            raise CommandTroubled(f"the hypervisor could not {what}") from error

    async def _keep(self) -> None:
        """Connect whenever there is no connection, waiting longer after each failure."""
        pause = FIRST_PAUSE
        while True:
            self._lost.clear()
            self._attempt += 1
            try:
                self._connection = await self._in_thread(
                    self._acting, "connect", CONNECT_SECONDS, self._open, self._hop(), self._attempt
                )
            except CommandTroubled as error:
                log.warning("libvirt_unreachable", uri=self._uri, reason=str(error), retry_in=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            pause = FIRST_PAUSE
            log.info("libvirt_connected", uri=self._uri)
            self._up.set()
            self._connected()
            await self._lost.wait()
            self._up.clear()
            lost, self._connection = self._connection, None
            log.warning("libvirt_lost", uri=self._uri)
            with contextlib.suppress(CommandTroubled):
                await self._in_thread(self._acting, "disconnect", 5.0, _disconnect, lost)

    def _hop(self) -> Callable[..., None]:
        """A function that runs another in our loop, from any thread, until the loop is closed."""
        loop = asyncio.get_running_loop()

        def hop(function: Callable[..., None], *arguments: Any) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(function, *arguments)

        return hop

    def _open(self, hop: Callable[..., None], attempt: int) -> Any:
        connection = libvirt.open(self._uri)
        if attempt != self._attempt:  # nobody waits for it any more
            connection.close()
            return None
        connection.setKeepAlive(*KEEPALIVE)
        connection.registerCloseCallback(lambda *_: hop(self._lost.set), None)

        def on_life(_connection: Any, domain: Any, _event: int, _detail: int, _opaque: Any) -> None:
            hop(self._changed, domain.UUIDString(), domain.name())

        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_life, None)
        return connection


def _disconnect(connection: Any) -> None:
    with contextlib.suppress(libvirt.libvirtError):
        connection.unregisterCloseCallback()
    with contextlib.suppress(libvirt.libvirtError):
        connection.close()

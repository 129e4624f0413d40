"""A process of the cloud: it starts, says when it is ready, serves its health and metrics, and stops cleanly.

On SIGTERM or SIGINT it takes nothing new, finishes what is in hand within the grace, and leaves the rest to redelivery.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import structlog
from aiohttp import web

from skybus.bus.amqp import AmqpTransport
from skybus.bus.memory import MemoryBroker, MemoryTransport
from skybus.bus.schemas import Checked
from skybus.bus.transport import BusError, Transport
from skybus.config import Config

log = structlog.get_logger()

CHECK_VARIABLE = "SKYBUS_CHECK_MESSAGES"
"""Set to 1, every message is held against its schema on its way out and in."""
START_AGAIN_SECONDS = 0.3
"""Between two attempts to start while the bus is not there yet."""


class Part(Protocol):
    """What a process does."""

    @property
    def ready(self) -> bool:
        """Whether it can do its work now."""
        ...

    async def start(self) -> None:
        """Begin."""
        ...

    async def stop(self) -> None:
        """End within the grace."""
        ...


def transport_of(config: Config, broker: MemoryBroker | None = None, user: str = "skybus") -> Transport:
    """The transport that the configuration names; in memory through `broker`, as the account `user`."""
    transport: Transport
    if config.bus.url.startswith("memory:"):
        transport = MemoryTransport(broker or MemoryBroker(delivery_limit=config.bus.delivery_limit), user)
    else:
        transport = AmqpTransport(config.bus)
    return Checked(transport) if os.environ.get(CHECK_VARIABLE) == "1" else transport


def run(name: str, config: Config, make: Callable[[], Part], *, netlink: bool = False) -> int:
    """Run what `make` makes as this process until it is told to stop; answer the exit status.

    With `netlink` on asyncio's own loop: uvloop, which is faster, serves no netlink sockets.
    """
    if netlink:
        return asyncio.run(_run(name, config, make))
    import uvloop

    return uvloop.run(_run(name, config, make))


class _Process:
    """What the health check sees: the part that runs now, or none while it starts."""

    part: Part | None = None

    @property
    def ready(self) -> bool:
        return self.part is not None and self.part.ready


async def _run(name: str, config: Config, make: Callable[[], Part]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    process = _Process()
    health = await _serve_health(config, process)
    try:
        try:
            process.part = await _start(name, config, make, stop)
        except Exception as error:
            log.exception("start_failed", worker=name)
            sys.stderr.write(f"skybus {name} cannot start: {error}\n")
            return 1
        # What was imported and built by now lives to the end: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        # Requests and messages make few cycles; looking for them at every 700th object is work for nothing.
        gc.set_threshold(20_000, 20, 20)
        log.info("started", worker=name, pid=os.getpid())
        await stop.wait()
        log.info("stopping", worker=name)
        return 0
    finally:
        if process.part is not None:
            await _stop(name, config, process.part)
        if health is not None:
            await health.cleanup()
        log.info("stopped", worker=name)


async def _start(name: str, config: Config, make: Callable[[], Part], stop: asyncio.Event) -> Part | None:
    """The started part; None when told to stop meanwhile. Awaits a broker and queues that come up later than we do."""
    loop = asyncio.get_running_loop()
    end = loop.time() + config.worker.start_seconds
    while not stop.is_set():
        part = make()
        try:
            if await _unless(stop, part.start()):
                return part
            await _stop(name, config, part)
        except BusError as error:
            await _stop(name, config, part)
            if loop.time() > end:
                raise
            log.info("waiting_for_the_bus", worker=name, reason=str(error))
        except BaseException:
            await _stop(name, config, part)
            raise
        await asyncio.sleep(START_AGAIN_SECONDS)
    return None


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do `work`, which may take as long as it likes; False when it was broken off because we are told to stop."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
            return True
        return False
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


async def _stop(name: str, config: Config, part: Part) -> None:
    """End it; what goes wrong with that is logged."""
    try:
        await asyncio.wait_for(part.stop(), config.worker.grace_seconds + 10)
    except Exception:
        log.exception("stop_failed", worker=name)


async def _serve_health(config: Config, process: _Process) -> web.ServerRunner | None:
    """GET /healthz: 200 when ready, 503 otherwise; GET /metrics: Prometheus text."""
    if not config.worker.http_port:
        return None

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/healthz":
            status, text = (200, "ready\n") if process.ready else (503, "not ready\n")
            return web.Response(status=status, text=text)
        if request.path == "/metrics":
            import prometheus_client

            return web.Response(body=prometheus_client.generate_latest(), content_type="text/plain")
        return web.Response(status=404)

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, config.worker.http_host, config.worker.http_port).start()
    return runner

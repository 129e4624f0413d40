"""A process of the cloud: it starts, says when it is ready, serves its health and metrics, and stops cleanly.

On SIGTERM or SIGINT it takes nothing new, finishes what is in hand within the grace, and leaves the rest to redelivery.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from typing import Protocol

import structlog
from aiohttp import web

from skybus.bus.amqp import AmqpTransport
from skybus.bus.memory import MemoryBroker, MemoryTransport
from skybus.bus.schemas import Checked
from skybus.bus.transport import Transport
from skybus.config import Config

log = structlog.get_logger()

CHECK_VARIABLE = "SKYBUS_CHECK_MESSAGES"
"""Set to 1, every message is held against its schema on its way out and in."""


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


def run(name: str, config: Config, part: Part, *, netlink: bool = False) -> int:
    """Run `part` as this process until it is told to stop; answer the exit status.

    With `netlink` on asyncio's own loop: uvloop, which is faster, serves no netlink sockets.
    """
    if netlink:
        return asyncio.run(_run(name, config, part))
    import uvloop

    return uvloop.run(_run(name, config, part))


async def _run(name: str, config: Config, part: Part) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    health = await _serve_health(config, part)
    try:
        try:
            await part.start()
        except Exception as error:
            log.exception("start_failed", worker=name)
            sys.stderr.write(f"skybus {name} cannot start: {error}\n")
            return 1
        # What was imported and built by now lives to the end: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        log.info("started", worker=name, pid=os.getpid())
        await stop.wait()
        log.info("stopping", worker=name)
        return 0
    finally:
        try:
            await asyncio.wait_for(part.stop(), config.worker.grace_seconds + 10)
        except Exception:
            log.exception("stop_failed", worker=name)
        if health is not None:
            await health.cleanup()
        log.info("stopped", worker=name)


async def _serve_health(config: Config, part: Part) -> web.ServerRunner | None:
    """GET /healthz: 200 when ready, 503 otherwise; GET /metrics: Prometheus text."""
    if not config.worker.http_port:
        return None

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/healthz":
            return web.Response(status=200 if part.ready else 503, text="ready\n" if part.ready else "not ready\n")
        if request.path == "/metrics":
            import prometheus_client

            return web.Response(body=prometheus_client.generate_latest(), content_type="text/plain")
        return web.Response(status=404)

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, config.worker.http_host, config.worker.http_port).start()
    return runner

"""The gateway's process: it puts the APIs together and serves them. Any number of gateways share the port."""

from __future__ import annotations

import asyncio
from typing import Any

import prometheus_client
from aiohttp import web

from skybus.bus.transport import Transport
from skybus.config import Config
from skybus.gateway.apis import apis, policy_rules
from skybus.gateway.services import Services
from skybus.http.dispatch import Dispatcher
from skybus.http.policy import Policy
from skybus.http.policy_file import PolicyFile
from skybus.store import Store
from skybus.store.relay import Relay
from skybus.store.tail import Tail

REQUESTS = prometheus_client.Histogram(
    "skybus_http_request_seconds",
    "Time from a request's arrival to its answer.",
    ["api", "route", "status"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)


class Part:
    """One gateway."""

    def __init__(self, config: Config, transport: Transport) -> None:
        self.config = config
        self.transport = transport
        self.store = Store(config.need_database(), "gateway")
        self.relay = Relay(self.store, transport)
        self.tail = Tail(self.store)
        self.services = Services(config, self.store)
        self.policy = Policy(policy_rules())
        self._policy_file = PolicyFile(config.gateway.policy_file, self.policy)
        self._watching: asyncio.Task[None] | None = None
        self._runner: web.ServerRunner | None = None
        self._started = False

    @property
    def ready(self) -> bool:
        return self._started and self.transport.connected

    async def start(self) -> None:
        """The operator's rules, database, bus, what the handlers need, and last the port. Raises PolicyError for rules
        that cannot be read."""
        await self._policy_file.load()
        await self.store.open()
        await self.transport.open()
        await self.relay.start()
        self.store.tail = self.tail
        await self.tail.start()
        await self.services.start(self.tail)
        dispatcher = self._dispatcher()
        server = web.Server(dispatcher.serve, access_log=None, keepalive_timeout=75)
        self._runner = web.ServerRunner(server, shutdown_timeout=self.config.worker.grace_seconds)
        await self._runner.setup()
        gateway = self.config.gateway
        await web.TCPSite(self._runner, gateway.host, gateway.port, reuse_port=True, backlog=1024).start()
        self._watching = asyncio.create_task(self._policy_file.watch())
        self._started = True

    async def stop(self) -> None:
        """Close the port, finish the requests in hand, then the rest."""
        self._started = False
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.tail.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self.services.stop()
        await self.tail.stop()
        await self.relay.stop()
        await self.transport.close()
        await self.store.close()

    def _dispatcher(self) -> Dispatcher:
        gateway = self.config.gateway
        dispatcher = Dispatcher(
            apis(),
            self.policy,
            self.services.tokens.authenticate,
            public_url=gateway.url,
            max_body_bytes=gateway.max_body_bytes,
            services=self.services.by_name(),
        )
        dispatcher.observe = _observe
        return dispatcher


_children: dict[tuple[str, str, int], Any] = {}


def _observe(api: str, route: str, status: int, seconds: float) -> None:
    key = (api, route, status)
    child = _children.get(key)
    if child is None:
        child = _children[key] = REQUESTS.labels(api, route, str(status))
    child.observe(seconds)

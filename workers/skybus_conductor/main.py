"""The conductor's process."""

from __future__ import annotations

import asyncio
from functools import partial

from skybus.bus.process import transport_of
from skybus.bus.transport import Transport
from skybus.compute.instance_identity import InstanceIdentity
from skybus.config import Config
from skybus.identity.auth.keys import Keys
from skybus.identity.auth.tokens import Tokens
from skybus.store.part import WorkerPart
from skybus_conductor.cloud import Cloud
from skybus_conductor.hearing import Hearing
from skybus_conductor.retention import retention_sweeps
from skybus_conductor.sweeps import SWEEPS, silent_hosts
from skybus_conductor.topology import Topology
from skybus_conductor.worker import Conductor

IMAGE_TOKEN_SECONDS = 900
CONTROL_USER = "skybus"
"""The broker account of the control plane's own processes."""


def cloud_of(config: Config) -> Cloud:
    """What the sagas know of this cloud."""
    tokens = Tokens(Keys(config.gateway.token_key_dir))
    return Cloud(
        gateway_url=config.gateway.url,
        issue_image_token=partial(tokens.issue_image_token, seconds=IMAGE_TOKEN_SECONDS),
        identity=InstanceIdentity.load(config.gateway.token_key_dir),
        allocation_ratios={
            "VCPU": config.scheduler.cpu_allocation_ratio,
            "MEMORY_MB": config.scheduler.ram_allocation_ratio,
            "DISK_GB": config.scheduler.disk_allocation_ratio,
        },
    )


class Part(WorkerPart):
    """The store, the relay and a conductor, who also sees to it that the broker has the queues."""

    def __init__(self, config: Config, transport: Transport) -> None:
        super().__init__("conductor", config, transport)
        hearing = Hearing(lambda: transport.connected)
        patient = [hearing.patient(one) if one.look is silent_hosts else one for one in SWEEPS]
        sweeps = (*patient, *retention_sweeps(config.retention))
        self.worker = Conductor(self.store, transport, cloud_of(config), user=CONTROL_USER, sweeps=sweeps)
        self.topology = Topology(self.store, lambda: transport_of(config))
        self._topology: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """The queues first: without them there is nothing to work on."""
        if self.config.bus.url.startswith("memory:"):
            await super().start()
            return
        await self.store.open()
        try:
            await self.topology.ensure()
        finally:
            await self.store.close()
        await super().start()
        self._topology = asyncio.create_task(self.topology.keep(lambda: self.transport.connected))

    async def stop(self) -> None:
        """Look no more for the queues, then the rest."""
        if self._topology is not None:
            self._topology.cancel()
            await asyncio.gather(self._topology, return_exceptions=True)
        await super().stop()

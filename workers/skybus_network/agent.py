"""Carries out what the conductor orders from one host's networks, and keeps it so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import msgspec
import structlog

from skybus import clock
from skybus.bus.agent import CommandHandler, Tell
from skybus.bus.message import Command, Report
from skybus.errors import CommandRefused, CommandTroubled
from skybus.messages.network import (
    NetworkReport,
    PeersKnown,
    PlugPort,
    PortBinding,
    PortPlugged,
    PortSeen,
    PortUnplugged,
    Segment,
    UnplugPort,
    UpdatePeers,
)
from skybus_network.checks import address_of, id_check, plug_check, refused, tap_check
from skybus_network.dataplane import DataPlane
from skybus_network.locks import Locks
from skybus_network.picture import KnownNetwork, Picture

log = structlog.get_logger()

MENDED_AT_ONCE = 8
"""Networks that are made at the same time when a host starts: each runs a few programs."""


class NetworkAgent:
    """The network agent of one host. What it was told is in `picture`; what is, in `data_plane`."""

    kind = "network"

    def __init__(
        self, host: str, data_plane: DataPlane, picture: Picture, *, tend_seconds: float | None = None
    ) -> None:
        """`tend_seconds` lie between two looks whether everything is still there; None means never to look."""
        self.host = host
        self._data_plane = data_plane
        self._picture = picture
        self._tend_seconds = tend_seconds
        self._tending: asyncio.Task[None] | None = None
        self._locks = Locks()

    @property
    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        """What this agent can do."""
        return {PlugPort: self.plug, UnplugPort: self.unplug, UpdatePeers: self.update_peers}

    async def start(self, tell: Tell) -> None:
        """Re-make what this host was told and lacks, and remove what it was never told of and nobody uses."""
        await self._picture.load()
        for network_id in [network.id for network in self._picture.networks.values() if not network.ports]:
            await self._picture.network_drop(network_id)
        await self._data_plane.open(self._picture.networks)
        await self._mend_all(self._picture.networks)
        try:
            await self._data_plane.sweep()
        except CommandTroubled as error:
            # Left-overs cost room; a host without an agent costs its guests.
            log.error("network_sweep_failed", reason=str(error))
        if self._tend_seconds is not None:
            self._tending = asyncio.create_task(self._tend(self._tend_seconds), name="network-tend")

    async def report(self, *, started: bool) -> Report:
        """The heartbeat: the known ports that are wired, and every network that has anything here."""
        found = await self._data_plane.survey()
        ports = [
            PortSeen(port_id=binding.port_id, network_id=network.id)
            for network, binding in self._picture.ports()
            if binding.port_id in found.ports
        ]
        return NetworkReport(
            host=self.host,
            taken_at=clock.now(),
            started=started,
            ports=ports,
            networks=sorted(found.networks | self._picture.networks.keys()),
        )

    async def close(self) -> None:
        """Let go; guests keep their network."""
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)
            self._tending = None
        await self._data_plane.close()

    async def plug(self, order: PlugPort) -> PortPlugged:
        """Make the port real, or bring it up to date."""
        plug_check(order)
        async with self._locks.of(order.segment.network_id):
            old = self._claim_tap(order)
            network = await self._picture.segment_put(self._newest_peers(order.segment))
            await self._picture.port_put(network.id, order.binding)
            if old is not None and old.tap != order.binding.tap:
                await self._data_plane.tap_remove(network.id, old.port_id, old.tap)
            try:
                await self._data_plane.apply(network)
            except CommandRefused:
                # A final no: the port must not be tried again at each start.
                await self._remove(network.id, order.port_id, order.binding.tap)
                raise
        log.info("port_plugged", port_id=order.port_id, network_id=order.segment.network_id, tap=order.binding.tap)
        return PortPlugged(port_id=order.port_id)

    def _claim_tap(self, order: PlugPort) -> PortBinding | None:
        """What was known of the port so far. Raises `CommandRefused` when another port has the tap."""
        known: PortBinding | None = None
        for network, binding in self._picture.ports():
            if binding.port_id == order.port_id:
                known = binding
                if network.id != order.segment.network_id:
                    raise refused(f"port {order.port_id} is plugged into another network")
            elif binding.tap == order.binding.tap:
                raise refused(f"tap {binding.tap} belongs to port {binding.port_id}")
        return known

    def _newest_peers(self, segment: Segment) -> Segment:
        """`segment` with the newest peers that this host has heard of."""
        known = self._picture.networks.get(segment.network_id)
        if known is None or known.segment.peers_version <= segment.peers_version:
            return segment
        return msgspec.structs.replace(segment, peers=known.segment.peers, peers_version=known.segment.peers_version)

    async def unplug(self, order: UnplugPort) -> PortUnplugged:
        """Remove the port, and with the last one the network."""
        id_check(order.network_id, "network")
        id_check(order.port_id, "port")
        tap_check(order.tap)
        async with self._locks.of(order.network_id):
            await self._remove(order.network_id, order.port_id, order.tap)
        log.info("port_unplugged", port_id=order.port_id, network_id=order.network_id, tap=order.tap)
        return PortUnplugged(port_id=order.port_id)

    async def _remove(self, network_id: str, port_id: str, tap: str) -> None:
        """First the kernel, then the picture: what is still there is still known, so a repeat finds it."""
        network = self._picture.networks.get(network_id)
        known = network.ports.get(port_id) if network else None
        for name in {tap, known.tap if known else tap}:
            await self._data_plane.tap_remove(network_id, port_id, name)
        await self._picture.port_drop(network_id, port_id)
        if network is not None and network.ports:
            await self._data_plane.apply(network)
        else:
            # The guard follows the picture, so the network leaves it first; a crash in between is for `sweep`.
            await self._picture.network_drop(network_id)
            await self._data_plane.network_remove(network_id)

    async def update_peers(self, order: UpdatePeers) -> PeersKnown:
        """Flood the network to these peers, unless a newer picture is known or no port of it is here."""
        id_check(order.network_id, "network")
        for peer in order.peers:
            address_of(peer)
        async with self._locks.of(order.network_id):
            known = self._picture.networks.get(order.network_id)
            if known is None:
                return PeersKnown(network_id=order.network_id, peers_version=order.peers_version)
            if known.segment.peers_version < order.peers_version:
                await self._picture.segment_put(
                    msgspec.structs.replace(known.segment, peers=order.peers, peers_version=order.peers_version)
                )
            await self._data_plane.apply(known)
            return PeersKnown(network_id=order.network_id, peers_version=known.segment.peers_version)

    async def _tend(self, seconds: float) -> None:
        """Look from time to time, and mend what is missing: a DHCP server that died, a tap that somebody removed."""
        while True:
            await asyncio.sleep(seconds)
            try:
                if ailing := await self._ailing():
                    log.warning("networks_ailing", network_ids=sorted(ailing))
                    await self._mend_all(ailing)
            except CommandTroubled as error:
                log.warning("network_survey_failed", reason=str(error))
            except Exception:
                log.exception("network_tend_crashed")  # our bug; the next look may fare better

    async def _ailing(self) -> set[str]:
        """The networks that lack something and that nobody is working on: those only look ill, so two looks agree."""
        first = (await self._data_plane.survey()).ailing
        if not first:
            return set()
        idle = {network_id for network_id in first if not self._locks.busy(network_id)}
        return idle & (await self._data_plane.survey()).ailing

    async def _mend_all(self, network_ids: Iterable[str]) -> None:
        """Mend many, some at a time."""
        gate = asyncio.Semaphore(MENDED_AT_ONCE)

        async def mend(network_id: str) -> None:
            async with gate:
                await self._mend(network_id)

        await asyncio.gather(*map(mend, list(network_ids)))

    async def _mend(self, network_id: str) -> None:
        """Apply what is known of a network; one that cannot be mended now must not keep others from it."""
        async with self._locks.of(network_id):
            network: KnownNetwork | None = self._picture.networks.get(network_id)
            if network is None:
                return
            try:
                await self._data_plane.apply(network)
            except (CommandTroubled, CommandRefused) as error:
                log.error("network_not_mended", network_id=network_id, reason=str(error))

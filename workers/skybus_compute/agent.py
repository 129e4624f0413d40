"""The compute agent: looks at the host, brings about what an order asks for, and answers with what is now true."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

import structlog

from skybus import clock
from skybus.bus.agent import CommandHandler, Tell
from skybus.bus.message import Command
from skybus.bus.transport import BusError
from skybus.errors import CloudError, CommandRefused, CommandTroubled
from skybus.messages.compute import (
    ConsoleText,
    DestroyGuest,
    GuestChanged,
    GuestDestroyed,
    GuestPower,
    GuestSeen,
    GuestSpawned,
    HypervisorReport,
    PlugVolume,
    PowerState,
    ReadConsole,
    RebootGuest,
    SpawnGuest,
    StartGuest,
    StopGuest,
    UnplugVolume,
    VolumePlugged,
    VolumeUnplugged,
)
from skybus_compute.hypervisor import Guest, Hypervisor
from skybus_compute.identifiers import checked_id
from skybus_compute.turns import Turns

log = structlog.get_logger()

CONSOLE_BYTES = 100 * 1024
SPAWNED = "spawned"


class ComputeAgent:
    """The guests of one host, on any hypervisor. Satisfies `skybus.bus.agent.Agent`.

    It remembers nothing that matters: what it knows of a guest it reads from the hypervisor, so it may die at any
    point. `_known` only tells what a guest did by itself from what it did by order.
    """

    kind = "compute"

    def __init__(self, host: str, address: str, hypervisor: Hypervisor) -> None:
        self.host = host
        self.hypervisor = hypervisor
        self._address = address
        self._turns = Turns()
        self._known: dict[str, PowerState] = {}
        self._tell: Tell | None = None
        self._looks: set[asyncio.Task[None]] = set()

    @property
    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        """The orders this agent carries out."""
        return {
            SpawnGuest: self.spawn,
            DestroyGuest: self.destroy,
            StartGuest: self.power_on,
            StopGuest: self.stop,
            RebootGuest: self.reboot,
            PlugVolume: self.plug_volume,
            UnplugVolume: self.unplug_volume,
            ReadConsole: self.read_console,
        }

    async def start(self, tell: Tell) -> None:
        """Connect to the hypervisor. Raises CommandTroubled when it does not answer."""
        await self.hypervisor.start(self._noticed)
        for guest in await self.hypervisor.guests():
            self._known.setdefault(guest.server_id, guest.power_state)
        self._tell = tell  # only now: the first report says how everything was found

    async def close(self) -> None:
        """Stop looking; guests go on running."""
        self._tell = None
        for look in self._looks:
            look.cancel()
        await asyncio.gather(*self._looks, return_exceptions=True)
        await self.hypervisor.close()

    async def report(self, *, started: bool) -> HypervisorReport:
        """The heartbeat. Raises CommandTroubled when the hypervisor does not answer: then the host has no pulse."""
        taken_at = clock.now()
        facts = await self.hypervisor.facts()
        guests = await self.hypervisor.guests()
        for guest in guests:
            if guest.power_state != self._known.get(guest.server_id):
                self._noticed(guest.server_id)  # an event may have been lost, as while libvirtd was restarted
        return HypervisorReport(
            host=self.host,
            taken_at=taken_at,
            started=started,
            hypervisor_type=facts.hypervisor_type,
            hypervisor_version=facts.hypervisor_version,
            address=self._address,
            vcpus=facts.vcpus,
            memory_mib=facts.memory_mib,
            disk_gib=facts.disk_gib,
            cpu_info=facts.cpu_info,
            guests=[GuestSeen(server_id=guest.server_id, power_state=guest.power_state) for guest in guests],
        )

    # --- orders

    async def spawn(self, order: SpawnGuest) -> GuestSpawned:
        """Boot the guest unless it was booted already, and say what is true now.

        A guest with a mark has been booted before: a late copy of the order must not start what was stopped since.
        """
        server_id = checked_id(order.server_id, "server")
        async with self._turns.of(server_id):
            guest = await self.hypervisor.find(server_id)
            if guest is None or not guest.mark:
                await self._turns.unless_hurried(server_id, self.hypervisor.fetch(order))
                await self.hypervisor.define(order)
                guest = await self.hypervisor.power_on(server_id)
                await self.hypervisor.note(server_id, SPAWNED)
            self._known[server_id] = guest.power_state
            return GuestSpawned(server_id=server_id, power_state=guest.power_state, vnc_port=guest.vnc_port)

    async def destroy(self, order: DestroyGuest) -> GuestDestroyed:
        """Remove the guest and its files, hurrying an order that is waiting for an image or for a shutdown."""
        server_id = checked_id(order.server_id, "server")
        async with self._turns.of(server_id, hurry=True):
            await self.hypervisor.undefine(server_id)
            self._known.pop(server_id, None)
            return GuestDestroyed(server_id=server_id)

    async def power_on(self, order: StartGuest) -> GuestPower:
        """Start the guest unless it runs."""
        async with self._turns.of(checked_id(order.server_id, "server")):
            return self._power(await self.hypervisor.power_on(order.server_id))

    async def stop(self, order: StopGuest) -> GuestPower:
        """Shut the guest down, by force after its grace time, unless it is off."""
        async with self._turns.of(checked_id(order.server_id, "server")):
            guest = await self._must_find(order.server_id)
            if guest.is_on:
                await self._turn_off(order.server_id, order.grace_seconds)
                guest = await self._must_find(order.server_id)
            return self._power(guest)

    async def reboot(self, order: RebootGuest) -> GuestPower:
        """Turn the guest off and on, once for each `reboot_id`.

        The mark is set while the guest is off: whoever dies before it, repeats turning off what is off; whoever dies
        after it, has only the turning on left.
        """
        async with self._turns.of(checked_id(order.server_id, "server")):
            guest = await self._must_find(order.server_id)
            if guest.mark != order.reboot_id:
                await self._turn_off(order.server_id, 0 if order.hard else order.grace_seconds)
                await self.hypervisor.note(order.server_id, order.reboot_id)
            return self._power(await self.hypervisor.power_on(order.server_id))

    async def plug_volume(self, order: PlugVolume) -> VolumePlugged:
        """Give the guest the volume unless it has it."""
        async with self._turns.of(checked_id(order.server_id, "server")):
            if not order.if_there or await self.hypervisor.find(order.server_id) is not None:
                await self.hypervisor.plug(order.server_id, order.volume)
            return VolumePlugged(
                server_id=order.server_id, attachment_id=order.volume.attachment_id, device=order.volume.device
            )

    async def unplug_volume(self, order: UnplugVolume) -> VolumeUnplugged:
        """Take the volume away, unless the guest has let go of it before or is gone."""
        async with self._turns.of(checked_id(order.server_id, "server")):
            await self.hypervisor.unplug(order.server_id, order.volume_id, order.attachment_id)
            return VolumeUnplugged(server_id=order.server_id, attachment_id=order.attachment_id)

    async def read_console(self, order: ReadConsole) -> ConsoleText:
        """The end of the console. Takes no turn: one reads it while a stop or a plug is under way."""
        data = await self.hypervisor.console(checked_id(order.server_id, "server"), CONSOLE_BYTES)
        return ConsoleText(server_id=order.server_id, text=last_lines(data.decode("utf-8", "replace"), order.lines))

    # --- what the orders share

    async def _must_find(self, server_id: str) -> Guest:
        guest = await self.hypervisor.find(server_id)
        if guest is None:
            raise CommandRefused("there is no such guest on this host", code="compute.no-guest")
        return guest

    async def _turn_off(self, server_id: str, grace_seconds: float) -> None:
        if grace_seconds > 0:
            await self._turns.unless_hurried(server_id, self.hypervisor.shut_down(server_id, grace_seconds))
        await self.hypervisor.power_off(server_id)

    def _power(self, guest: Guest) -> GuestPower:
        self._known[guest.server_id] = guest.power_state
        return GuestPower(server_id=guest.server_id, power_state=guest.power_state, vnc_port=guest.vnc_port)

    # --- what guests do by themselves

    def _noticed(self, server_id: str | None) -> None:
        """A guest may have changed. Look when no order has it in hand: what an order did is told by its answer."""
        look: Coroutine[Any, Any, None] = self._look_at_all() if server_id is None else self._look(server_id)
        task = asyncio.ensure_future(look)
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)

    async def _look_at_all(self) -> None:
        try:
            seen = {guest.server_id for guest in await self.hypervisor.guests()}
        except CommandTroubled as error:
            log.warning("compute_look_failed", host=self.host, reason=str(error))
            return
        for server_id in seen | set(self._known):
            await self._look(server_id)

    async def _look(self, server_id: str) -> None:
        try:
            async with self._turns.of(server_id):
                guest = await self.hypervisor.find(server_id)
                state: PowerState = guest.power_state if guest else "absent"
                if self._tell is None or state == self._known.get(server_id, "absent"):
                    return
                log.info("guest_changed", host=self.host, server_id=server_id, power_state=state)
                seen_at = clock.now()
                await self._tell(GuestChanged(host=self.host, server_id=server_id, power_state=state, seen_at=seen_at))
                # Known once it is told: what the bus did not take is noticed again with the next heartbeat.
                if guest is None:
                    self._known.pop(server_id, None)
                else:
                    self._known[server_id] = state
        except (CloudError, BusError) as error:
            log.warning("compute_look_failed", host=self.host, server_id=server_id, reason=str(error))
        except Exception:
            log.exception("compute_look_crashed", host=self.host, server_id=server_id)


def last_lines(text: str, lines: int | None) -> str:
    """The last `lines` lines of `text`; all of them for None and, as the API has it, for a negative number."""
    if lines is None or lines < 0:
        return text
    return "".join(text.splitlines(keepends=True)[-lines:]) if lines else ""

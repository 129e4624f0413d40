"""Guests on libvirt and QEMU."""

from __future__ import annotations

import asyncio
import contextlib
import time
import xml.etree.ElementTree as ET
from typing import Any

import libvirt

from skybus.config import Config
from skybus.errors import CommandRefused, CommandTroubled
from skybus.messages.compute import GuestVolume, SpawnGuest
from skybus_compute import libvirt_volumes as volumes
from skybus_compute.domain_xml import NAMESPACE, Accelerator, domain_xml, guest_element, project_of
from skybus_compute.guest_files import GIB, GuestFiles
from skybus_compute.hypervisor import Guest, HostFacts, Noticed
from skybus_compute.image_cache import ImageCache
from skybus_compute.image_download import disk_error
from skybus_compute.kvm_probe import kvm_runs_guests
from skybus_compute.libvirt_host import (
    all_guests,
    guest_of,
    host_facts,
    is_named_like_ours,
    live_xml,
    look_up,
    must_look_up,
    read_guest,
)
from skybus_compute.libvirt_link import LibvirtLink

START_SECONDS = 90.0
"""Deadline of a guest's start: QEMU logs in to every volume in it."""
LET_GO_SECONDS = 60.0
"""How long a guest may take to let go of a disk."""
LOOK_SECONDS = 0.25
_WITH_ALL = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)
ASK_AGAIN_SECONDS = 5.0


class LibvirtHypervisor:
    """Satisfies `Hypervisor`. All that it knows is in libvirt and in `host.state_dir`."""

    def __init__(self, config: Config) -> None:
        state_dir = config.host.state_dir.absolute()
        self._state_dir = state_dir
        self._guests_dir = state_dir / "guests"
        self._virt_type = config.compute.virt_type
        self._cache = ImageCache(state_dir / "images", config.compute.image_cache_gib * GIB)
        self._uri = config.compute.libvirt_uri
        self._link: LibvirtLink | None = None
        self._noticed: Noticed | None = None
        self._facts: HostFacts | None = None
        self._accelerator: asyncio.Task[Accelerator] | None = None

    async def start(self, noticed: Noticed) -> None:
        """Connect. Raises CommandTroubled when libvirtd is not there in time or the folder cannot be written.

        Whether KVM works is found out meanwhile; the first guest that is defined waits for it.
        """
        self._noticed = noticed
        self._accelerator = asyncio.create_task(self._choose_accelerator())
        try:
            await asyncio.to_thread(self._guests_dir.mkdir, 0o711, parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, "the folder of guests") from error
        await self._cache.start()
        self._link = LibvirtLink(self._uri, self._changed, self._connected)
        await self._link.start()

    async def close(self) -> None:
        """Disconnect; guests go on running."""
        self._noticed = None
        await self._cache.close()
        if self._accelerator is not None:
            self._accelerator.cancel()
            await asyncio.gather(self._accelerator, return_exceptions=True)
        if self._link is not None:
            await self._link.close()

    async def facts(self) -> HostFacts:
        """What the host has. Read once for each connection: it changes with libvirt or the machine."""
        if self._facts is None:
            self._facts = await self.link.look("read the host's capacity", host_facts, self._state_dir)
        return self._facts

    async def guests(self) -> list[Guest]:
        """All guests of ours."""
        return await self.link.look("list the guests", all_guests)

    async def find(self, server_id: str) -> Guest | None:
        """The guest as it is now."""
        return await self.link.look("find the guest", read_guest, server_id)

    async def fetch(self, order: SpawnGuest) -> None:
        """Have the image in the cache, unless the guest has its disk already."""
        if not self._files(order.server_id).disk.exists():
            await self._cache.ensure(order.image)

    async def define(self, order: SpawnGuest) -> None:
        """Files first, then secrets, and the definition last: a guest that is defined is complete."""
        if await self.find(order.server_id) is not None:
            return
        files = self._files(order.server_id)
        assert self._accelerator is not None, "start() comes first"
        accelerator = await asyncio.shield(self._accelerator)
        definition = domain_xml(order, files, accelerator)
        await files.make(order, self._cache)
        await self.link.call("define the guest", _define, definition, order)

    async def undefine(self, server_id: str) -> None:
        """Remove the guest, its secrets and then its files."""
        files = self._files(server_id)
        await self.link.call("remove the guest", _undefine, server_id, seconds=60)
        await files.remove()

    async def power_on(self, server_id: str) -> Guest:
        """Start or resume."""
        return await self.link.call("start the guest", _power_on, server_id, seconds=START_SECONDS)

    async def shut_down(self, server_id: str, seconds: float) -> None:
        """Press the power button, and again for a guest that was still booting the first time."""
        until = time.monotonic() + seconds
        ask_at = 0.0
        while (now := time.monotonic()) < until:
            if now >= ask_at:
                await self.link.call("ask the guest to shut down", _press_power_button, server_id)
                ask_at = now + ASK_AGAIN_SECONDS
            if not await self.link.look("look at the guest", _is_active, server_id):
                return
            await asyncio.sleep(min(LOOK_SECONDS, max(0.0, until - time.monotonic())))

    async def power_off(self, server_id: str) -> None:
        """Pull the plug."""
        await self.link.call("turn the guest off", _power_off, server_id)

    async def note(self, server_id: str, mark: str) -> None:
        """Write the mark into the domain's metadata."""
        await self.link.call("record the order", _note, server_id, mark)

    async def plug(self, server_id: str, volume: GuestVolume) -> None:
        """Attach the volume."""
        await self.link.call("attach the volume", volumes.attach, server_id, volume, seconds=60)

    async def unplug(self, server_id: str, volume_id: str, attachment_id: str) -> None:
        """Ask the guest to let go, and ask again: one that is still booting does not hear the first time.

        Raises CommandTroubled when it holds on.
        """
        until = time.monotonic() + LET_GO_SECONDS
        ask_at = 0.0
        while await self.link.look("look at the volume", volumes.is_live, server_id, volume_id):
            now = time.monotonic()
            if now >= until:
                raise CommandTroubled("the guest does not let go of the volume", code="compute.volume-held")
            if now >= ask_at:
                await self.link.call("detach the volume", volumes.ask_to_let_go, server_id, volume_id)
                ask_at = time.monotonic() + ASK_AGAIN_SECONDS
            await asyncio.sleep(LOOK_SECONDS)
        await self.link.call("detach the volume", volumes.forget_volume, server_id, volume_id, attachment_id)

    async def console(self, server_id: str, most_bytes: int) -> bytes:
        """What virtlogd wrote down."""
        files = self._files(server_id)
        if await self.find(server_id) is None:
            raise CommandRefused("there is no such guest on this host", code="compute.no-guest")
        try:
            return await asyncio.to_thread(files.read_console, most_bytes)
        except OSError as error:
            raise disk_error(error, "the guest's console") from error

    @property
    def link(self) -> LibvirtLink:
        """The connection, which `start` makes."""
        assert self._link is not None, "start() comes first"
        return self._link

    def _files(self, server_id: str) -> GuestFiles:
        return GuestFiles.of(self._guests_dir, server_id)

    async def _choose_accelerator(self) -> Accelerator:
        if self._virt_type != "auto":
            return self._virt_type
        return "kvm" if await asyncio.to_thread(kvm_runs_guests) else "qemu"

    def _connected(self) -> None:
        """What happened while there was no connection told nobody."""
        self._facts = None
        if self._noticed is not None:
            self._noticed(None)

    def _changed(self, uuid: str, name: str) -> None:
        if self._noticed is not None and is_named_like_ours(uuid, name):
            self._noticed(uuid)


# --- what runs in a thread; `connection` is libvirt's


def _define(connection: Any, definition: str, order: SpawnGuest) -> None:
    for volume in order.volumes:
        volumes.keep_secret(connection, order.server_id, volume)
    connection.defineXMLFlags(definition, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)


def _undefine(connection: Any, server_id: str) -> None:
    domain = look_up(connection, server_id)
    if domain is not None:
        if domain.isActive():
            _destroy(domain)
        domain.undefineFlags(_WITH_ALL)
    volumes.forget_secrets_of(connection, server_id)


def _power_on(connection: Any, server_id: str) -> Guest:
    domain = must_look_up(connection, server_id)
    state, _ = domain.state()
    if state in (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PMSUSPENDED):
        domain.resume() if state == libvirt.VIR_DOMAIN_PAUSED else domain.pMWakeup()
    elif not domain.isActive():
        domain.create()
    return guest_of(domain)


def _press_power_button(connection: Any, server_id: str) -> None:
    domain = look_up(connection, server_id)
    if domain is not None and domain.isActive():
        with contextlib.suppress(libvirt.libvirtError):  # it went off in this moment, or has no ear for it
            domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)


def _is_active(connection: Any, server_id: str) -> bool:
    domain = look_up(connection, server_id)
    return domain is not None and bool(domain.isActive())


def _power_off(connection: Any, server_id: str) -> None:
    domain = look_up(connection, server_id)
    if domain is not None and domain.isActive():
        _destroy(domain)


def _destroy(domain: Any) -> None:
    try:
        domain.destroy()
    except libvirt.libvirtError:
        if domain.isActive():
            raise


def _note(connection: Any, server_id: str, mark: str) -> None:
    domain = must_look_up(connection, server_id)
    element = guest_element(server_id, project_of(live_xml(domain)), mark)
    # libvirt puts the namespace around the element itself.
    element.tag = element.tag.rpartition("}")[2]
    flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
    if domain.isActive():
        flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
    text = ET.tostring(element, encoding="unicode")
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, "sky", NAMESPACE, flags)

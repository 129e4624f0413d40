"""What a system test of the compute agent holds in its hands."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from private_libvirt import PrivateLibvirt

from component.compute_agent.orders import image_source, spawn_order
from skybus.bus.message import Report
from skybus.config import Config
from skybus.errors import CommandTroubled
from skybus.messages.compute import GuestChanged, GuestPort, GuestVolume, ReadConsole, SpawnGuest
from skybus.messages.volume import IscsiTarget
from skybus_compute import build
from skybus_compute.agent import ComputeAgent

BOOT_SECONDS = 90.0  # TCG on a machine that does other things too


class Rig:
    """One agent on the private libvirtd, and what it told."""

    def __init__(self, libvirt: PrivateLibvirt, config: Config, url: str, image: bytes) -> None:
        self.libvirt = libvirt
        self.agent = build(config, config.host.name)
        self.state_dir = config.host.state_dir
        self._config = config
        self.told: asyncio.Queue[Report] = asyncio.Queue()
        self.taps: list[str] = []
        self._url = url
        self._image = image

    async def tell(self, report: Report) -> None:
        self.told.put_nowait(report)

    async def next_change(self, seconds: float = 30) -> GuestChanged:
        report = await asyncio.wait_for(self.told.get(), seconds)
        assert isinstance(report, GuestChanged)
        return report

    def second_agent(self) -> ComputeAgent:
        """The agent as it is after a restart: the same host, nothing remembered."""
        return build(self._config, self.agent.host)

    def order(self, **changes: Any) -> SpawnGuest:
        """An order for the tiny guest."""
        image = image_source(self._image, url=self._url, disk_format="qcow2")
        return spawn_order(**({"image": image, "memory_mib": 96} | changes))

    def port(self) -> GuestPort:
        """A card on a tap that was made where libvirtd lives."""
        tap = f"tap{uuid4().hex[:10]}"
        self.libvirt.call(["ip", "tuntap", "add", tap, "mode", "tap"])
        self.taps.append(tap)
        self.libvirt.call(["ip", "link", "set", tap, "up"])
        return GuestPort(port_id=str(uuid4()), tap=tap, mac="fa:16:3e:00:00:01", mtu=1400)

    def volume(self, number: int, password: str = "canary-chap-pass", device: str = "/dev/vdb") -> GuestVolume:
        """A volume that tgtd exports as target `number`, with a CHAP user of its own."""
        iqn = f"iqn.2026-11.test.skycompute:{uuid4().hex[:12]}"
        store = self.state_dir / f"volume-{number}"
        store.write_bytes(b"made-by-the-test".ljust(8 << 20, b"\0"))
        user = f"user{number}{uuid4().hex[:6]}"
        for words in (
            f"--mode target --op new --tid {number} -T {iqn}",
            f"--mode logicalunit --op new --tid {number} --lun 1 -b {store}",
            f"--mode target --op bind --tid {number} -I ALL",
            f"--mode account --op new --user {user} --password {password}",
            f"--mode account --op bind --tid {number} --user {user}",
        ):
            self.libvirt.call(["tgtadm", "--lld", "iscsi", *words.split()])
        target = IscsiTarget(portal="127.0.0.1:3260", iqn=iqn, lun=1, chap_user=user, chap_password=password)
        return GuestVolume(attachment_id=str(uuid4()), volume_id=str(uuid4()), device=device, target=target)

    def store_of(self, number: int) -> Path:
        """The file behind a volume."""
        return self.state_dir / f"volume-{number}"

    async def console(self, server_id: str) -> str:
        return (await self.agent.read_console(ReadConsole(server_id=server_id))).text

    async def wait_for_console(self, server_id: str, text: str, seconds: float = BOOT_SECONDS) -> str:
        """The console once `text` is in it."""
        until = time.monotonic() + seconds
        while text not in (said := await self.console(server_id)):
            assert time.monotonic() < until, f"no {text!r} on the console: {said[-2000:]}"
            await asyncio.sleep(0.1)
        return said

    async def states_until(self, server_id: str, wanted: set[str], seconds: float = 60) -> dict[str, str]:
        """The states in the heartbeats, once `server_id` is in one of those `wanted`."""
        until = time.monotonic() + seconds
        while True:
            with contextlib.suppress(CommandTroubled):  # no connection, no heartbeat
                report = await self.agent.report(started=False)
                states: dict[str, str] = {guest.server_id: guest.power_state for guest in report.guests}
                if states.get(server_id) in wanted:
                    return states
            assert time.monotonic() < until, f"{server_id} did not become {wanted}"
            await asyncio.sleep(0.2)

    def virsh(self, *words: str) -> str:
        """What the administrator's own tool says."""
        return self.libvirt.call(["virsh", "-q", "-c", "qemu:///system", *words])

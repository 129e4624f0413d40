"""The life of real guests on a real libvirt."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from uuid import uuid4

import pytest
from rig import Rig

from component.compute_agent.orders import image_source
from skybus.errors import CommandRefused
from skybus.messages.compute import DestroyGuest, RebootGuest, StartGuest, StopGuest

pytestmark = pytest.mark.system


async def test_a_guest_boots_with_its_cards_and_config_drive_and_leaves_nothing(rig: Rig) -> None:
    port = rig.port()
    order = rig.order(ports=[port], config_drive=True, disk_gib=1)
    spawned = await rig.agent.spawn(order)
    assert spawned.power_state == "running"
    assert spawned.vnc_port is not None
    said = await rig.wait_for_console(order.server_id, "GUEST-READY")
    assert "GUEST-CONFIG" in said
    assert order.server_id in said
    assert f"GUEST-CARDS {port.mac}" in said
    assert f"GUEST-READY {(1 << 30) // 512}" in said
    assert f"127.0.0.1:{spawned.vnc_port}" in rig.libvirt.call(["ss", "-Htln"])

    files = rig.state_dir / "guests" / order.server_id
    assert [(files / name).owner() for name in ("base", "disk.qcow2")] == ["root", "libvirt-qemu"]

    again = await rig.agent.spawn(order)
    assert again == spawned
    assert len(rig.libvirt.qemu_pids()) == 1
    successor = rig.second_agent()
    await successor.start(rig.tell)
    assert await successor.spawn(order) == spawned
    report = await successor.report(started=True)
    await successor.close()
    assert [(guest.server_id, guest.power_state) for guest in report.guests] == [(order.server_id, "running")]
    assert report.hypervisor_type == "QEMU"
    assert report.memory_mib > 100
    assert report.disk_gib > 0

    await rig.agent.destroy(DestroyGuest(server_id=order.server_id))
    await rig.agent.destroy(DestroyGuest(server_id=order.server_id))
    assert rig.virsh("list", "--all", "--name").split() == []
    assert list((rig.state_dir / "guests").iterdir()) == []
    assert len(list((rig.state_dir / "images").iterdir())) == 1
    assert rig.told.empty()


async def test_a_guest_shuts_down_when_asked_and_reboots_once_for_each_order(rig: Rig) -> None:
    order = rig.order()
    await rig.agent.spawn(order)
    await rig.wait_for_console(order.server_id, "GUEST-READY")

    stopped = await rig.agent.stop(StopGuest(server_id=order.server_id, grace_seconds=60))
    assert stopped.power_state == "shutdown"
    assert "(shutdown)" in rig.virsh("domstate", "--reason", order.server_id)
    late_copy = await rig.agent.spawn(order)
    assert late_copy.power_state == "shutdown"

    started = await rig.agent.power_on(StartGuest(server_id=order.server_id))
    assert started.power_state == "running"
    first = rig.libvirt.qemu_pids()
    reboot = RebootGuest(server_id=order.server_id, reboot_id=str(uuid4()), hard=True)
    assert (await rig.agent.reboot(reboot)).power_state == "running"
    second = rig.libvirt.qemu_pids()
    assert first != second
    await rig.agent.reboot(reboot)
    assert rig.libvirt.qemu_pids() == second
    assert rig.told.empty()


async def test_a_guest_that_dies_by_itself_is_told_of(rig: Rig) -> None:
    order = rig.order()
    await rig.agent.spawn(order)
    os.kill(next(iter(rig.libvirt.qemu_pids().values())), signal.SIGKILL)
    change = await rig.next_change()
    assert (change.server_id, change.power_state, change.host) == (order.server_id, "crashed", "host-t")

    await rig.agent.power_on(StartGuest(server_id=order.server_id))
    await rig.wait_for_console(order.server_id, "GUEST-READY")
    rig.virsh("shutdown", order.server_id, "--mode", "acpi")
    assert (await rig.next_change()).power_state == "shutdown"


async def test_the_agent_finds_its_way_back_to_a_restarted_libvirtd(rig: Rig) -> None:
    kept, lost = rig.order(), rig.order()
    await rig.agent.spawn(kept)
    await rig.agent.spawn(lost)
    pids = rig.libvirt.qemu_pids()
    rig.libvirt.kill_libvirtd()
    os.kill(pids[f"sky-{lost.server_id}"], signal.SIGKILL)
    rig.libvirt.start_libvirtd()
    states = await rig.states_until(lost.server_id, {"crashed", "shutdown"})
    change = await rig.next_change()
    assert change.server_id == lost.server_id
    assert change.power_state in ("crashed", "shutdown")
    assert states[kept.server_id] == "running"
    os.kill(pids[f"sky-{kept.server_id}"], signal.SIGKILL)
    assert (await rig.next_change()).server_id == kept.server_id


async def test_an_image_that_is_not_what_was_promised_leaves_no_guest(rig: Rig) -> None:
    order = rig.order()
    wrong = image_source(b"other", url=order.image.url, disk_format="qcow2", size=order.image.size)
    with pytest.raises(CommandRefused) as refused:
        await rig.agent.spawn(rig.order(image=wrong))
    assert refused.value.code == "compute.image-refused"
    assert rig.virsh("list", "--all", "--name").split() == []
    assert list((rig.state_dir / "images").iterdir()) == []


async def test_somebody_elses_domain_is_neither_seen_nor_touched(rig: Rig, tmp_path: Path) -> None:
    foreign = str(uuid4())
    definition = tmp_path / "foreign.xml"
    definition.write_text(
        f"<domain type='qemu'><name>foreign</name><uuid>{foreign}</uuid><memory unit='MiB'>16</memory>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"
    )
    rig.virsh("define", str(definition))
    try:
        with pytest.raises(CommandRefused):
            await rig.agent.destroy(DestroyGuest(server_id=foreign))
        assert (await rig.agent.report(started=False)).guests == []
        assert rig.virsh("list", "--all", "--name").split() == ["foreign"]
    finally:
        rig.virsh("undefine", "foreign")

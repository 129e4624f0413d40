"""Volumes in real guests, over real iSCSI."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from private_libvirt import PrivateLibvirt
from rig import Rig

from skybus.errors import CommandRefused, CommandTroubled
from skybus.messages.compute import DestroyGuest, GuestVolume, PlugVolume, StartGuest, StopGuest, UnplugVolume

pytestmark = pytest.mark.system


async def test_a_running_guest_gets_a_volume_writes_to_it_and_lets_go(rig: Rig, iscsi: PrivateLibvirt) -> None:
    order, volume = rig.order(), rig.volume(11)
    await rig.agent.spawn(order)
    await rig.wait_for_console(order.server_id, "GUEST-READY")

    plug = PlugVolume(server_id=order.server_id, volume=volume)
    plugged = await rig.agent.plug_volume(plug)
    assert plugged.device == "/dev/vdb"
    assert await rig.agent.plug_volume(plug) == plugged
    serial = volume.volume_id[:20]
    await rig.wait_for_console(order.server_id, f"GUEST-DISK vdb {serial} made-by-the-test")
    await rig.wait_for_console(order.server_id, "GUEST-WROTE vdb")
    pid = rig.libvirt.qemu_pids()[f"sky-{order.server_id}"]
    assert b"canary-chap-pass" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert "canary-chap-pass" not in rig.virsh("dumpxml", "--security-info", order.server_id)

    other = rig.volume(12)
    with pytest.raises(CommandRefused):
        await rig.agent.plug_volume(PlugVolume(server_id=order.server_id, volume=other))

    unplug = UnplugVolume(server_id=order.server_id, attachment_id=volume.attachment_id, volume_id=volume.volume_id)
    await rig.agent.unplug_volume(unplug)
    await rig.agent.unplug_volume(unplug)
    await rig.wait_for_console(order.server_id, "GUEST-LOST vdb")
    assert rig.store_of(11).read_bytes()[4096:4112] == b"WRITTEN-BY-GUEST"
    assert rig.virsh("secret-list").strip() == ""
    assert "iscsi" not in rig.virsh("dumpxml", "--inactive", order.server_id)


async def test_a_volume_survives_stop_start_and_a_new_libvirtd(rig: Rig, iscsi: PrivateLibvirt) -> None:
    volume = rig.volume(21)
    order = rig.order(volumes=[volume])
    await rig.agent.spawn(order)
    await rig.wait_for_console(order.server_id, "GUEST-WROTE vdb")
    await rig.agent.stop(StopGuest(server_id=order.server_id, grace_seconds=0))
    rig.libvirt.kill_libvirtd()
    rig.libvirt.start_libvirtd()
    await rig.states_until(order.server_id, {"shutdown"})
    await rig.agent.power_on(StartGuest(server_id=order.server_id))
    await rig.wait_for_console(order.server_id, "GUEST-DISK vdb")
    await rig.agent.destroy(DestroyGuest(server_id=order.server_id))
    assert rig.virsh("secret-list").strip() == ""


async def test_a_wrong_password_gives_no_disk_and_leaves_no_secret(rig: Rig, iscsi: PrivateLibvirt) -> None:
    order, volume = rig.order(), rig.volume(31, password="another-secret")
    await rig.agent.spawn(order)
    await rig.wait_for_console(order.server_id, "GUEST-READY")
    wrong = PlugVolume(
        server_id=order.server_id,
        volume=_with_password(volume, "canary-wrong-pass"),
    )
    with pytest.raises(CommandTroubled) as troubled:
        await rig.agent.plug_volume(wrong)
    assert "canary" not in str(troubled.value)
    assert rig.virsh("secret-list").strip() == ""
    assert "iscsi" not in rig.virsh("dumpxml", order.server_id)
    await rig.agent.plug_volume(PlugVolume(server_id=order.server_id, volume=volume))
    await rig.wait_for_console(order.server_id, "GUEST-DISK vdb")


def _with_password(volume: GuestVolume, password: str) -> GuestVolume:
    return replace(volume, target=replace(volume.target, chap_password=password))

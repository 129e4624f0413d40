"""What a newcomer does on the first day, with the openstack command and openstacksdk alone.

The tests share three guests and stand in the order of their lives; the last ones delete them.
"""

from __future__ import annotations

import contextlib
import json

import pytest
from made import ADDRESSES, Made, delete_all
from the_cloud import Cloud, Guest, wait

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(300),
    # The SDK warns of its own ways.
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]


def test_the_console_shows_boot_address_and_what_the_metadata_service_gave(
    cloud: Cloud, near: Guest, mark: str
) -> None:
    shown = cloud.cli("console", "log", "show", near.id)
    assert "login:" in shown
    assert f"dhcp eth0 {ADDRESSES['near']}/24" in shown
    assert f"metadata ok src=metadata-service host={mark}-near keys=1" in shown


def test_ssh_lets_the_keys_owner_in(near: Guest, mark: str) -> None:
    assert near.sh("hostname").strip() == f"{mark}-near"
    assert near.sh("id -un").strip() == "cirros"


def test_the_metadata_service_signs_who_asks(near: Guest) -> None:
    told = json.loads(near.sh("wget -q -O - http://169.254.169.254/openstack/latest/meta_data.json"))
    assert (told["uuid"], told["name"].rpartition("-")[2]) == (near.id, "near")


def test_servers_of_one_network_reach_each_other_and_those_of_another_do_not(
    near: Guest, far: Guest, elsewhere: Guest
) -> None:
    assert near.pings(far.address)
    assert far.pings(near.address)
    assert not near.pings(elsewhere.address)
    assert not elsewhere.pings(near.address)


def test_a_volume_carries_data_from_one_server_to_another(
    cloud: Cloud, made: Made, near: Guest, far: Guest, mark: str
) -> None:
    sdk = cloud.sdk
    volume = sdk.block_storage.create_volume(name=mark, size=1)
    made.volumes.append(volume.id)
    sdk.block_storage.wait_for_status(volume, "available", wait=60, interval=0.3)

    cloud.cli("server", "add", "volume", near.id, volume.id)
    wait_volume(cloud, volume.id, "in-use")
    wait("the disk is in the guest", lambda: near.disks() == ["vda", "vdb"], 30)
    near.sh("mke2fs -q /dev/vdb && mount /dev/vdb /mnt && echo kept > /mnt/note && umount /mnt && sync", user="root")
    cloud.cli("server", "remove", "volume", near.id, volume.id)
    wait_volume(cloud, volume.id, "available")
    wait("the disk left the guest", lambda: near.disks() == ["vda"], 30)
    assert cloud.targets() == []

    sdk.compute.create_volume_attachment(far.id, volume_id=volume.id)
    wait_volume(cloud, volume.id, "in-use")
    wait("the disk is in the other guest", lambda: far.disks() == ["vda", "vdb"], 30)
    assert far.sh("mount -o ro /dev/vdb /mnt && cat /mnt/note && umount /mnt", user="root").strip() == "kept"


def test_a_volume_in_use_is_not_deleted(cloud: Cloud, made: Made, far: Guest) -> None:
    with pytest.raises(AssertionError, match="Invalid volume"):
        cloud.cli("volume", "delete", made.volumes[0])
    assert far.disks() == ["vda", "vdb"]


def test_a_stopped_server_starts_with_its_disks(cloud: Cloud, far: Guest) -> None:
    far.sh("echo here > /root/note && sync", user="root")
    cloud.sdk.compute.stop_server(far.id)
    wait("the server is stopped", lambda: cloud.status(far.id) == "SHUTOFF", 90)
    assert f"sky-{far.id}" not in cloud.virsh("list", "--name").split()
    cloud.sdk.compute.start_server(far.id)
    wait("the server is started", lambda: cloud.status(far.id) == "ACTIVE", 60)
    far.up()
    assert far.sh("cat /root/note", user="root").strip() == "here"
    assert far.disks() == ["vda", "vdb"]


def test_a_hard_reboot_boots_anew(cloud: Cloud, near: Guest) -> None:
    boot = near.sh("cat /proc/sys/kernel/random/boot_id")
    cloud.sdk.compute.reboot_server(near.id, "HARD")
    wait("the server is back", lambda: cloud.status(near.id) == "ACTIVE", 60)

    def rebooted() -> bool:
        return near.answers() and near.sh("cat /proc/sys/kernel/random/boot_id") != boot

    wait("it booted anew", rebooted, 90)


def test_deleting_a_server_lets_go_of_its_volume_and_leaves_nothing(cloud: Cloud, made: Made, far: Guest) -> None:
    ports = [port.id for port in cloud.sdk.network.ports(device_id=far.id)]
    cloud.cli("server", "delete", "--wait", far.id)
    wait_volume(cloud, made.volumes[0], "available")
    assert cloud.targets() == []
    for thing in [far.id, *ports]:
        assert cloud.traces(thing) == []


def test_when_all_is_deleted_nothing_is_left_of_it(cloud: Cloud, made: Made, guests: dict[str, Guest]) -> None:
    delete_all(cloud, made)
    for thing in [*made.servers.values(), *made.ports, *made.volumes, *made.networks.values()]:
        assert cloud.traces(thing) == []
    assert cloud.traces(made.image) == [f"file {path}" for path in cached(cloud, made.image)]


def test_the_doctor_finds_nothing_wrong(cloud: Cloud) -> None:
    said = ""

    def sound() -> bool:
        nonlocal said
        said = cloud.doctor()
        return "no disagreements" in said

    # It reads what the hosts last reported: until each reports again that may be older than what was deleted.
    with contextlib.suppress(AssertionError):
        wait("the doctor is content", sound, 45)
    assert sound(), said


def cached(cloud: Cloud, image_id: str) -> list[str]:
    """The host's copy of an image, which it keeps for a while."""
    return [str(path) for path in cloud.files() if path.parent.name == "images" and image_id in path.name]


def wait_volume(cloud: Cloud, volume_id: str, status: str) -> None:
    """Wait until the volume is in `status`."""
    wait(f"the volume is {status}", lambda: bool(cloud.sdk.block_storage.get_volume(volume_id).status == status), 60)

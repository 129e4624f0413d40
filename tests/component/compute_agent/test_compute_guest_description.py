"""How an order is put into libvirt's words, and onto a config drive."""

from __future__ import annotations

import base64
import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from component.compute_agent.orders import metadata, new_id, spawn_order, volume
from skybus.errors import CommandRefused, CommandTroubled
from skybus.messages.compute import GuestPort, SpawnGuest
from skybus_compute.config_drive import drive_files, write_config_drive
from skybus_compute.domain_xml import device_is_taken, disk_of, domain_xml, mark_of, parse, project_of, secret_xml
from skybus_compute.guest_files import GuestFiles
from skybus_compute.kvm_probe import accelerator_runs_guests
from skybus_compute.limited import ProgramFailed, run_limited


def described(order: SpawnGuest) -> ET.Element:
    return parse(domain_xml(order, GuestFiles(Path("/state/guests") / order.server_id), "qemu"))


def test_a_domain_is_known_as_ours_by_its_metadata() -> None:
    order = spawn_order()
    domain = described(order)
    assert domain.findtext("name") == f"sky-{order.server_id}"
    assert mark_of(domain) == ""
    assert project_of(domain) == order.project_id
    domain.find("uuid").text = new_id()  # type: ignore[union-attr]
    assert mark_of(domain) is None


def test_every_disk_says_its_format_and_the_password_is_not_in_the_description() -> None:
    disk = volume()
    order = spawn_order(volumes=[disk], config_drive=True)
    text = domain_xml(order, GuestFiles(Path("/x")), "qemu")
    domain = parse(text)
    assert [each.get("type") for each in domain.iterfind("devices/disk/driver")] == ["qcow2", "raw", "raw"]
    assert domain.find("devices/disk/backingStore/format").get("type") == "raw"  # type: ignore[union-attr]
    assert disk_of(domain, disk.volume_id) is not None
    assert disk_of(domain, new_id()) is None
    assert device_is_taken(domain, "vdb")
    assert not device_is_taken(domain, "vdc")
    assert "canary" not in text + secret_xml("skybus.x")


def test_cards_are_put_on_the_taps_that_the_network_agent_made() -> None:
    port = GuestPort(port_id=new_id(), tap="tap1234", mac="fa:16:3e:01:02:03", mtu=1450)
    interface = described(spawn_order(ports=[port])).find("devices/interface")
    assert interface is not None
    assert interface.find("target").attrib == {"dev": "tap1234", "managed": "no"}  # type: ignore[union-attr]
    assert interface.find("mtu").get("size") == "1450"  # type: ignore[union-attr]


def test_what_a_user_wrote_cannot_become_part_of_the_description() -> None:
    port = GuestPort(port_id=new_id(), tap="t'/><evil/>", mac="x", mtu=1)
    domain = described(spawn_order(name="</name><evil/>", ports=[port]))
    assert domain.find(".//evil") is None


def test_a_portal_without_a_port_is_refused() -> None:
    disk = volume()
    target = type(disk.target)(portal="nowhere", iqn="iqn.x:y", lun=1, chap_user="u", chap_password="p")
    with pytest.raises(CommandRefused):
        described(spawn_order(volumes=[volume(target=target)]))


async def test_a_guest_finds_its_metadata_on_the_config_drive(tmp_path: Path) -> None:
    script = b"#!/bin/sh\necho hello\n"
    server_id = new_id()
    facts = metadata(
        server_id,
        user_data=base64.b64encode(script).decode(),
        identity_document='{"server": "x"}',
        identity_signature="a..b",
    )
    image = tmp_path / "config.iso"
    await write_config_drive(facts, image)
    assert [path.name for path in tmp_path.iterdir()] == ["config.iso"]
    assert image.stat().st_mode & 0o777 == 0o600
    assert image.read_bytes()[0x8028:0x8048].decode().strip() == "config-2"
    listing = subprocess.run(
        ["xorriso", "-indev", str(image), "-find", "/"], capture_output=True, text=True, check=True
    )
    names = {line.strip("'") for line in listing.stdout.split()}
    assert {"/openstack/latest/meta_data.json", "/openstack/latest/user_data", "/skybus/identity.jws"} <= names
    assert drive_files(facts)["openstack/latest/user_data"] == script
    assert re.search(server_id.encode(), image.read_bytes())


def test_user_data_that_is_not_base64_is_refused() -> None:
    with pytest.raises(CommandRefused):
        drive_files(metadata(new_id(), user_data="*"))


async def test_programs_run_within_limits() -> None:
    assert await run_limited(["echo", "said"], what="say") == b"said\n"
    with pytest.raises(ProgramFailed):
        await run_limited(["false"], what="fail")
    with pytest.raises(CommandTroubled):
        await run_limited(["sleep", "60"], what="sleep", seconds=0.2)
    limits = await run_limited(["sh", "-c", "ulimit -v; ulimit -t"], what="read the limits")
    assert limits.split() == [b"1048576", b"30"]


def test_a_guest_is_seen_to_run_before_an_accelerator_is_believed() -> None:
    assert accelerator_runs_guests("tcg", 30)
    assert not accelerator_runs_guests("none-such", 5)

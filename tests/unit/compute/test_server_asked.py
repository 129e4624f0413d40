"""What a request for servers means."""

from __future__ import annotations

from typing import Any

import pytest

from skybus.compute.server_asked import NetworkAsked, server_asked
from skybus.errors import BadRequest
from skybus.ids import new_id

IMAGE, NETWORK, PORT = new_id(), new_id(), new_id()
LATEST = (2, 96)


def _fields(**more: Any) -> dict[str, Any]:
    return {"name": "vm", "flavorRef": "1", "imageRef": IMAGE, "networks": "auto", **more}


def test_urls_are_as_good_as_ids() -> None:
    asked = server_asked(_fields(imageRef=f"http://x/images/{IMAGE}", flavorRef="http://x/flavors/7"), LATEST)
    assert (asked.image_id, asked.flavor_id) == (IMAGE, "7")


def test_networks_are_ports_networks_a_word_or_unsaid() -> None:
    several = [{"uuid": NETWORK, "fixed_ip": "10.0.0.5"}, {"port": PORT}]
    assert server_asked(_fields(networks=several), LATEST).networks == [
        NetworkAsked(network_id=NETWORK, fixed_ip="10.0.0.5"),
        NetworkAsked(port_id=PORT),
    ]
    assert server_asked(_fields(networks="none"), LATEST).networks == "none"
    unsaid = _fields()
    del unsaid["networks"]
    assert server_asked(unsaid, (2, 36)).networks is None
    with pytest.raises(BadRequest, match="required"):
        server_asked(unsaid, (2, 37))


def test_the_description_is_the_name_before_2_19() -> None:
    assert server_asked(_fields(networks=[]), (2, 18)).description == "vm"
    assert server_asked(_fields(networks=[]), (2, 19)).description is None


def test_an_image_on_a_local_disk_may_be_said_as_a_block_device() -> None:
    device = {"source_type": "image", "destination_type": "local", "uuid": IMAGE, "boot_index": "0"}
    assert server_asked(_fields(imageRef="", block_device_mapping_v2=[device]), LATEST).image_id == IMAGE


@pytest.mark.parametrize(
    "device",
    [
        {"source_type": "volume", "uuid": IMAGE, "boot_index": 0},
        {"source_type": "image", "destination_type": "volume", "uuid": IMAGE, "boot_index": 0, "volume_size": 1},
        {"source_type": "blank", "destination_type": "local"},
        {"source_type": "image", "destination_type": "local", "uuid": IMAGE, "boot_index": 1},
        {"source_type": "image", "destination_type": "local", "boot_index": 0},
        {"source_type": "image", "destination_type": "local", "uuid": NETWORK, "boot_index": 0},
        {"destination_type": "local"},
    ],
)
def test_other_block_devices_are_refused(device: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        server_asked(_fields(block_device_mapping_v2=[device]), LATEST)


def test_zone_host_node_names_a_host() -> None:
    asked = server_asked(_fields(availability_zone="nova:h1"), LATEST)
    assert (asked.zone, asked.wanted_host) == ("nova", "h1")
    with pytest.raises(BadRequest, match="mutually exclusive"):
        server_asked(_fields(availability_zone="nova:h1", host="h1"), LATEST)
    with pytest.raises(BadRequest):
        server_asked(_fields(availability_zone="a:b:c:d"), LATEST)


@pytest.mark.parametrize(
    ("hostname", "version", "fine"),
    [
        ("web", (2, 90), True),
        ("web.example.org", (2, 93), False),
        ("web.example.org", (2, 94), True),
        ("a..b", (2, 94), False),
        ("x" * 64, (2, 94), False),
        ("a_b", (2, 94), False),
    ],
)
def test_host_names_are_checked(hostname: str, version: tuple[int, int], fine: bool) -> None:
    if fine:
        assert server_asked(_fields(hostname=hostname), version).hostname == hostname
    else:
        with pytest.raises(BadRequest):
            server_asked(_fields(hostname=hostname), version)

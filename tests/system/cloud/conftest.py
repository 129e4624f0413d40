"""The running cloud, and a few guests in it that the tests of a module share: each boot takes seconds."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import openstack
import pytest
from made import ADDRESSES, CIDR, Made, delete_all
from the_cloud import Cloud, Guest


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """The cloud that SKYBUS_TEST_STATE names."""
    state = os.environ.get("SKYBUS_TEST_STATE")
    if not state:
        pytest.fail("SKYBUS_TEST_STATE is not set: run these tests through `ops/test system`", pytrace=False)
    found = Cloud(Path(state))
    yield found
    found.sdk.close()


@pytest.fixture(scope="module")
def mark() -> str:
    """Part of the names of everything that is made here."""
    return f"t{secrets.token_hex(3)}"


@pytest.fixture(scope="module")
def made(cloud: Cloud, mark: str) -> Iterator[Made]:
    """Filled by other fixtures, removed at the end."""
    things = Made()
    yield things
    delete_all(cloud, things)
    with contextlib.suppress(openstack.exceptions.NotFoundException):
        cloud.sdk.compute.delete_keypair(mark, ignore_missing=False)


@pytest.fixture(scope="module")
def keypair(cloud: Cloud, mark: str, made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The private half of a key pair that the cloud made."""
    path = tmp_path_factory.mktemp("keys") / "id"
    cloud.cli("keypair", "create", "--private-key", path, mark)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def image(cloud: Cloud, mark: str, made: Made, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy of the guest image, downloaded and uploaded again."""
    path = tmp_path_factory.mktemp("image") / "guest.qcow2"
    cloud.cli("image", "save", "--file", path, "skybus-guest")
    words = ("--disk-format", "qcow2", "--container-format", "bare", "--min-ram", "64", "--file", path, mark)
    made.image = cloud.cli_json("image", "create", *words)["id"]
    return made.image


@pytest.fixture(scope="module")
def networks(cloud: Cloud, mark: str, made: Made) -> dict[str, str]:
    """Two networks with the same addresses."""
    for name in ("a", "b"):
        made.networks[name] = cloud.cli_json("network", "create", f"{mark}-{name}")["id"]
        network = made.networks[name]
        cloud.cli("subnet", "create", "--network", network, "--subnet-range", CIDR, f"{mark}-{name}")
    return made.networks


@pytest.fixture(scope="module")
def guests(
    cloud: Cloud, mark: str, made: Made, keypair: Path, image: str, networks: dict[str, str]
) -> dict[str, Guest]:
    """Three guests, booted at the same time: two on one network, one elsewhere."""
    sdk = cloud.sdk
    flavor = sdk.compute.find_flavor("m1.nano", ignore_missing=False).id
    found = {}
    for name in ("far", "elsewhere"):
        network = networks["b" if name == "elsewhere" else "a"]
        server = sdk.compute.create_server(
            name=f"{mark}-{name}", image_id=image, flavor_id=flavor, key_name=mark,
            networks=[{"uuid": network, "fixed_ip": ADDRESSES[name]}],
        )  # fmt: skip
        made.servers[name] = server.id
        found[name] = Guest(cloud, server.id, network, ADDRESSES[name], keypair)
    near = cloud.cli_json(
        "server", "create", "--image", image, "--flavor", "m1.nano", "--key-name", mark, "--wait",
        "--nic", f"net-id={networks['a']},v4-fixed-ip={ADDRESSES['near']}", f"{mark}-near",
    )  # fmt: skip
    made.servers["near"] = near["id"]
    found["near"] = Guest(cloud, near["id"], networks["a"], ADDRESSES["near"], keypair)
    for server_id in made.servers.values():
        sdk.compute.wait_for_server(sdk.compute.get_server(server_id), wait=60)
        made.ports += [port.id for port in sdk.network.ports(device_id=server_id)]
    return {name: guest.up() for name, guest in found.items()}


@pytest.fixture(scope="module")
def near(guests: dict[str, Guest]) -> Guest:
    """A guest."""
    return guests["near"]


@pytest.fixture(scope="module")
def far(guests: dict[str, Guest]) -> Guest:
    """Another guest on the same network."""
    return guests["far"]


@pytest.fixture(scope="module")
def elsewhere(guests: dict[str, Guest]) -> Guest:
    """A guest on another network."""
    return guests["elsewhere"]

"""What the metadata service says, and to whom."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import pytest
from aiohttp import web

from component.network_agent.orders import Net
from skybus.messages.network import PortBinding
from skybus_network.documents import EC2_VERSIONS, OPENSTACK_VERSIONS, document, ec2_id
from skybus_network.linuxbridge.metadata import Metadata
from skybus_network.picture import KnownNetwork

PORT = Net(0).plug(11).binding


def text(path: str, port: PortBinding = PORT) -> str:
    found = document(port, path)
    assert found is not None
    return found.body.decode()


@pytest.mark.parametrize("version", OPENSTACK_VERSIONS)
def test_every_openstack_version_has_the_documents(version: str) -> None:
    listed = text(f"/openstack/{version}/").splitlines()
    assert listed == ["meta_data.json", "user_data", "network_data.json", "vendor_data.json", "vendor_data2.json"]
    assert json.loads(text(f"/openstack/{version}/meta_data.json"))["hostname"] == "vm11"
    assert text(f"/openstack/{version}/user_data") == "#!/bin/sh\n"


@pytest.mark.parametrize("version", EC2_VERSIONS)
def test_every_ec2_version_has_the_data(version: str) -> None:
    assert text(f"/{version}/meta-data/local-ipv4") == "10.71.0.11"
    assert text(f"/{version}/meta-data/public-keys/") == "0=mine"
    assert text(f"/{version}/meta-data/public-keys/0/") == "openssh-key"
    assert text(f"/{version}/meta-data/public-keys/0/openssh-key") == "ssh-ed25519 AAAA vm11\n"
    assert text(f"/{version}/user-data") == "#!/bin/sh\n"
    assert text(f"/{version}/dynamic/instance-identity/signature") == "e30..c2ln"


def test_every_listed_name_leads_somewhere() -> None:
    def walk(path: str) -> None:
        for name in text(path).splitlines():
            below = path + name.partition("=")[0] + ("/" if "=" in name else "")
            if below.endswith("/"):
                walk(below)
            assert document(PORT, below) is not None, below

    walk("/latest/meta-data/")


@pytest.mark.parametrize("path", ["/openstack/1999-01-01/meta_data.json", "/latest/nothing", "/latest/meta-data/mac/x"])
def test_there_is_nothing_elsewhere(path: str) -> None:
    assert document(PORT, path) is None


def test_without_user_data_there_is_no_such_document() -> None:
    import msgspec

    assert PORT.metadata is not None
    bare = msgspec.structs.replace(PORT, metadata=msgspec.structs.replace(PORT.metadata, user_data=None))
    assert document(bare, "/openstack/latest/user_data") is None
    assert document(bare, "/latest/user-data") is None


def test_an_id_that_is_none_still_has_a_short_form() -> None:
    assert ec2_id("ami", "") == "ami-" + "0" * 17


@asynccontextmanager
async def served(networks: dict[str, KnownNetwork], network_id: str) -> AsyncIterator[str]:
    """The service of one network, listening on loopback."""
    http = web.Server(partial(Metadata(networks).answer, network_id), access_log=None)
    server = await asyncio.get_running_loop().create_server(http, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await http.shutdown(1.0)


async def status(url: str, source: str, *, method: str = "GET", **headers: str) -> int:
    connector = aiohttp.TCPConnector(local_addr=(source, 0), force_close=True)
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        session.request(method, url + "/openstack/latest/meta_data.json", headers=headers) as answer,
    ):
        return answer.status


def loopback_network(*lasts: int) -> KnownNetwork:
    net = Net(0, "127.71.0.0/24")
    return KnownNetwork(net.segment, {order.port_id: order.binding for order in map(net.plug, lasts)})


async def test_the_source_address_alone_decides_who_asks() -> None:
    network, other = loopback_network(11), loopback_network(12)
    networks = {network.id: network, other.id: other}
    victim = next(iter(network.ports.values()))
    assert victim.metadata is not None
    forged = {
        "X-Forwarded-For": "127.71.0.11",
        "X-Real-IP": "127.71.0.11",
        "Forwarded": "for=127.71.0.11",
        "X-Instance-ID": victim.metadata.server_id,
        "X-Tenant-ID": victim.metadata.project_id,
        "X-Neutron-Network-ID": network.id,
        "X-Instance-ID-Signature": secrets.token_hex(32),
    }
    async with served(networks, network.id) as url:
        assert await status(url, "127.71.0.11") == 200
        assert await status(url, "127.71.0.11", **{"X-Forwarded-For": "127.71.0.99"}) == 200
        assert await status(url, "127.71.0.13", **forged) == 404
        # A guest of another network is a stranger on this one.
        assert await status(url, "127.71.0.12", **forged) == 404


async def test_an_address_that_two_ports_claim_is_nobodys() -> None:
    network = loopback_network(11, 11)
    async with served({network.id: network}, network.id) as url:
        assert await status(url, "127.71.0.11") == 404


async def test_nothing_can_be_written() -> None:
    network = loopback_network(11)
    async with served({network.id: network}, network.id) as url:
        assert await status(url, "127.71.0.11", method="POST") == 405

"""Lists of servers: filters, order, pages; and the documents of a guest."""

from __future__ import annotations

import base64

import pytest

from skybus.compute.instance_identity import InstanceIdentity, verified
from skybus.compute.instance_metadata import instance_metadata
from skybus.compute.servers import servers_get
from skybus.compute.spawn import spawn_orders
from skybus.network.wiring import plug_orders

from .conftest import ADMIN, BOB, Compute


async def _names(compute: Compute, query: str, token: str = ADMIN, version: str = "2.96") -> list[str]:
    listed = await compute.get(f"/servers/detail?{query}", token=token, version=version)
    return [server["name"] for server in listed["servers"]]


async def test_pages_follow_each_other_without_gaps_in_every_order(compute: Compute) -> None:
    for name in ("a", "b", "c", "d", "e"):
        await compute.create(name=name)
    for query, expected in (
        ("", "edcba"),
        ("sort_key=display_name&sort_dir=asc", "abcde"),
        ("sort_key=task_state", "edcba"),
    ):
        names, url = "", f"/compute/v2.1/servers?limit=2&{query}"
        while url:
            page = (await compute.client.call("GET", url)).body
            names += "".join(server["name"] for server in page["servers"])
            url = page["servers_links"][0]["href"] if "servers_links" in page else ""
        assert names == expected
    assert (await compute.call("GET", "/servers?marker=nothing")).status == 400
    assert (await compute.call("GET", "/servers?limit=-1")).status == 400
    assert (await compute.call("GET", "/servers?limit=x")).status == 400


async def test_filters_find_what_they_say(compute: Compute) -> None:
    one = await compute.active(name="web-1", metadata={})
    two = await compute.create(name="web-2", token=BOB, flavorRef="84")
    everybody = "all_tenants=1&sort_key=display_name&sort_dir=asc&"
    shown = await compute.show(one)
    address = shown["addresses"]["net"][0]["addr"]
    for query, expected in (
        ("", ["web-1", "web-2"]),
        ("name=web", ["web-1", "web-2"]),
        ("name=^.*-2$", ["web-2"]),
        ("status=ACTIVE", ["web-1"]),
        ("status=active&status=BUILD", ["web-1", "web-2"]),
        ("status=SHUTOFF", []),
        ("status=RESCUE", []),
        ("vm_state=building", ["web-2"]),
        ("flavor=84", ["web-2"]),
        (f"image={compute.image_id}", ["web-1", "web-2"]),
        ("image=nothing", []),
        ("host=host-1", ["web-1"]),
        ("project_id=p2", ["web-2"]),
        (f"uuid={two}", ["web-2"]),
        ("power_state=1", ["web-1"]),
        ("locked=false", ["web-1", "web-2"]),
        ("deleted=false", ["web-1", "web-2"]),
        ("availability_zone=nova", ["web-1"]),
        (f"ip={address}", ["web-1"]),
        ("changes-since=2100-01-01T00:00:00Z", []),
        ("key_name=none", []),
        ("soft_deleted=true", []),
    ):
        assert await _names(compute, everybody + query) == expected, query
    assert await _names(compute, "host=host-9", token="alice:p1:member,reader") == ["web-1"], "passed over in silence"


ODD = (
    ("name=(", "2.96", 400),
    ("name=" + "a" * 300, "2.96", 400),
    ("status=nonsense", "2.38", 400),
    ("status=nonsense", "2.37", 200),
    ("nonsense=1", "2.75", 400),
    ("nonsense=1", "2.74", 200),
    ("changes-since=yesterday", "2.1", 400),
    ("changes-since=2030-01-01T00:00:00Z&changes-before=2020-01-01T00:00:00Z", "2.66", 400),
    ("sort_key=nonsense", "2.1", 400),
    ("sort_key=vcpus", "2.74", 200),
    ("sort_key=vcpus", "2.75", 400),
    ("sort_key=display_name&sort_dir=up", "2.1", 400),
    ("_private=1", "2.1", 400),
    ("metadata=1", "2.1", 400),
    ("ip=(", "2.1", 400),
    ("all_tenants=maybe", "2.1", 400),
    ("name=%00", "2.1", 400),
)


async def test_odd_queries_get_their_status(compute: Compute) -> None:
    """Security class 16: unbounded filters."""
    for query, version, status in ODD:
        answer = await compute.call("GET", f"/servers/detail?{query}", version=version)
        assert answer.status == status, (query, version, answer)


async def test_a_pattern_that_takes_too_long_is_given_up(compute: Compute) -> None:
    """Security class 16: a filter does not keep the database busy."""
    await compute.create(name="a" * 200)
    answer = await compute.call("GET", "/servers?name=" + "(a*)*" * 6 + "\\1\\2\\3\\4\\5\\6b")
    assert answer.status in (200, 400)


async def test_a_guest_learns_who_it_is_and_the_cloud_vouches_for_it(
    compute: Compute, tmp_path_factory: pytest.TempPathFactory
) -> None:
    key = {
        "keypair": {
            "name": "k",
            "public_key": "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"x" * 32).decode(),
        }
    }
    assert (await compute.call("POST", "/os-keypairs", key)).status == 201
    server_id = await compute.active(
        name="web", key_name="k", user_data=base64.b64encode(b"#!").decode(), metadata={"r": "1"}
    )
    identity = InstanceIdentity.load(tmp_path_factory.mktemp("keys"))
    async with compute.store.transaction() as tx:
        hosts = {server_id: "host-1"}
        told = (await instance_metadata(tx, hosts, await plug_orders(tx, hosts), identity=identity))[server_id]
        servers = await servers_get(tx, hosts)
        order = (await spawn_orders(tx, servers, lambda _: "image-token", "http://cloud.test"))[server_id]
    assert told.meta_data["uuid"] == server_id
    assert told.meta_data["public_keys"] == {"k": key["keypair"]["public_key"]}
    assert told.meta_data["meta"] == {"r": "1"}
    (network,) = told.network_data["networks"]
    assert network["type"] == "ipv4_dhcp"
    assert told.network_data["links"][0]["ethernet_mac_address"] == order.ports[0].mac
    assert verified(told.identity_document, told.identity_signature, identity.public_jwk)
    assert not verified(told.identity_document.replace("web", "bew"), told.identity_signature, identity.public_jwk)
    assert order.image.url == f"http://cloud.test/image/v2/images/{compute.image_id}/file"
    assert (order.vcpus, order.memory_mib, order.disk_gib) == (1, 128, 1)
    assert order.ports[0].tap.startswith("tap")

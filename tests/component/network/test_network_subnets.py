"""Subnets over HTTP, and the DHCP port that follows them."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address, ip_network
from typing import Any

from skybus.store import Store


def subnet(network: Any, cidr: str, version: int = 4, **more: Any) -> dict[str, Any]:
    return {"subnet": {"network_id": network["id"], "cidr": cidr, "ip_version": version, **more}}


async def dhcp_port(net: Any, network: Any) -> Any:
    found = (await net.get(f"/ports?network_id={network['id']}&device_owner=network:dhcp"))["ports"]
    return found[0] if found else None


async def test_a_subnet_gets_the_usual_gateway_and_pool(net: Any) -> None:
    _, made = await net.network_with_subnet("10.1.0.9/24")
    assert made["cidr"] == "10.1.0.0/24"
    assert made["gateway_ip"] == "10.1.0.1"
    assert made["allocation_pools"] == [{"start": "10.1.0.2", "end": "10.1.0.254"}]
    assert (made["enable_dhcp"], made["ip_version"], made["dns_nameservers"]) == (True, 4, [])
    assert (await net.get(f"/subnets/{made['id']}"))["subnet"] == made


async def test_a_subnet_of_ipv6_hands_out_static_addresses(net: Any) -> None:
    network = await net.make("network")
    answer = await net.call("POST", "/subnets", subnet(network, "fd00:1::/64", 6))
    made = answer.body["subnet"]
    assert made["gateway_ip"] == "fd00:1::1"
    assert made["allocation_pools"] == [{"start": "fd00:1::2", "end": "fd00:1::ffff:ffff:ffff:ffff"}]
    port = await net.make("port", network_id=network["id"])
    assert ip_address(port["fixed_ips"][0]["ip_address"]) in ip_network("fd00:1::/64")


async def test_what_is_asked_of_a_subnet_is_kept_and_may_change(net: Any) -> None:
    network = await net.make("network")
    asked = {
        "gateway_ip": "10.2.0.254",
        "allocation_pools": [{"start": "10.2.0.10", "end": "10.2.0.20"}],
        "dns_nameservers": ["8.8.8.8", "1.1.1.1"],
        "host_routes": [{"destination": "10.9.0.0/16", "nexthop": "10.2.0.3"}],
        "name": "s",
    }
    made = (await net.call("POST", "/subnets", subnet(network, "10.2.0.0/24", **asked))).body["subnet"]
    assert {key: made[key] for key in asked} == asked
    new = {"gateway_ip": None, "dns_nameservers": [], "host_routes": [], "name": "t", "enable_dhcp": False}
    changed = (await net.call("PUT", f"/subnets/{made['id']}", {"subnet": new})).body["subnet"]
    assert {key: changed[key] for key in new} == new
    again = {"gateway_ip": "10.2.0.1", "allocation_pools": [{"start": "10.2.0.2", "end": "10.2.0.5"}]}
    changed = (await net.call("PUT", f"/subnets/{made['id']}", {"subnet": again})).body["subnet"]
    assert {key: changed[key] for key in again} == again


async def test_subnets_that_cannot_be_are_refused(net: Any, store: Store) -> None:
    network, first = await net.network_with_subnet("10.3.0.0/24")
    cases: list[tuple[dict[str, Any], int, str]] = [
        (subnet(network, "10.3.0.128/25"), 400, "InvalidInput"),
        (subnet(network, "10.0.0.0/8"), 400, "InvalidInput"),
        (subnet(network, "10.4.0.0/24", 6), 400, "InvalidInput"),
        (subnet(network, "10.4.0.0"), 400, "InvalidInput"),
        (subnet(network, "10.4.0.0/33"), 400, "InvalidInput"),
        (subnet(network, "0.0.0.0/0"), 400, "InvalidInput"),
        (subnet(network, "10.4.0.0/31"), 400, "InvalidInput"),
        (subnet(network, "224.0.0.0/24"), 400, "InvalidInput"),
        (subnet(network, "10.4.0.0/24", gateway_ip="10.5.0.1"), 400, "InvalidInput"),
        (subnet(network, "10.4.0.0/24", gateway_ip="fd00::1"), 400, "InvalidInput"),
        (subnet(network, "10.4.0.0/24", dns_nameservers=["8.8.8.8"] * 2), 400, "InvalidInput"),
        (subnet(network, "10.4.0.0/24", dns_nameservers=["8.8.8.8\n--evil"]), 400, "InvalidInput"),
        (subnet(network, "10.4.0.0/24", dns_nameservers=[f"8.8.8.{n}" for n in range(6)]), 400,
         "DNSNameServersExhausted"),
        (subnet(network, "10.4.0.0/24", host_routes=[{"destination": "x", "nexthop": "10.4.0.1"}]), 400,
         "InvalidInput"),
        (subnet(network, "10.4.0.0/24", allocation_pools=[{"start": "10.4.0.9", "end": "10.4.0.3"}]), 400,
         "InvalidAllocationPool"),
        (subnet(network, "10.4.0.0/24", allocation_pools=[{"start": "10.4.0.9", "end": "10.4.1.3"}]), 400,
         "OutOfBoundsAllocationPool"),
        (subnet(network, "10.4.0.0/24", allocation_pools=[{"start": "10.4.0.1", "end": "10.4.0.3"}]), 409,
         "GatewayConflictWithAllocationPools"),
        (subnet(network, "10.4.0.0/24", allocation_pools=[{"start": "10.4.0.5", "end": "10.4.0.9"},
                                                         {"start": "10.4.0.9", "end": "10.4.0.12"}]), 409,
         "OverlappingAllocationPools"),
        (subnet(network, "fd00::/64", 6, ipv6_ra_mode="slaac"), 400, "HTTPBadRequest"),
        (subnet({"id": "00000000-0000-4000-8000-000000000000"}, "10.4.0.0/24"), 404, "NetworkNotFound"),
        (subnet({"id": "nonsense"}, "10.4.0.0/24"), 400, "HTTPBadRequest"),
    ]  # fmt: skip
    for body, status, kind in cases:
        await net.refused("POST", "/subnets", body, status=status, kind=kind)
    said = await net.refused("POST", "/subnets", subnet(network, "10.3.0.0/24"), status=400, kind="InvalidInput")
    assert "overlaps with another subnet" in said
    assert [one["id"] for one in (await net.get("/subnets"))["subnets"]] == [first["id"]]


async def test_of_two_overlapping_subnets_made_at_once_one_is_refused(net: Any) -> None:
    network = await net.make("network")
    bodies = [subnet(network, f"10.6.0.{n * 16}/24") for n in range(6)]
    answers = await asyncio.gather(*(net.call("POST", "/subnets", body) for body in bodies))
    assert sorted(answer.status for answer in answers) == [201] + [400] * 5


async def test_only_the_networks_owner_adds_subnets(net: Any) -> None:
    """Security class 14: cross-tenant access."""
    shared = await net.make("network", net.ADMIN, shared=True)
    mine, of_mine = await net.network_with_subnet("10.7.0.0/24")
    await net.refused("POST", "/subnets", subnet(shared, "10.8.0.0/24"), status=403, kind="PolicyNotAuthorized")
    await net.refused("POST", "/subnets", subnet(mine, "10.8.0.0/24"), net.BOB, status=404, kind="NetworkNotFound")
    await net.refused("POST", "/subnets", subnet(mine, "10.8.0.0/24"), net.READER, status=403)
    for method, body in (("GET", None), ("PUT", {"subnet": {"name": "x"}}), ("DELETE", None)):
        path = f"/subnets/{of_mine['id']}"
        await net.refused(method, path, body, net.BOB, status=404, kind="SubnetNotFound")
    assert (await net.get("/subnets", net.BOB))["subnets"] == []
    made = (await net.call("POST", "/subnets", subnet(mine, "10.8.0.0/24"), net.ADMIN)).body["subnet"]
    assert made["project_id"] == "p1"
    await net.call("POST", "/subnets", subnet(shared, "10.9.0.0/24"), net.ADMIN)
    assert [one["cidr"] for one in (await net.get("/subnets", net.BOB))["subnets"]] == ["10.9.0.0/24"]


async def test_the_dhcp_port_follows_the_subnets(net: Any) -> None:
    network, first = await net.network_with_subnet("10.1.0.0/24")
    port = await dhcp_port(net, network)
    assert (port["status"], port["device_id"]) == ("ACTIVE", f"dhcp-{network['id']}")
    assert port["fixed_ips"] == [{"subnet_id": first["id"], "ip_address": "10.1.0.2"}]
    second = (await net.call("POST", "/subnets", subnet(network, "fd00::/64", 6))).body["subnet"]
    await net.call("POST", "/subnets", subnet(network, "10.2.0.0/24", enable_dhcp=False))
    again = await dhcp_port(net, network)
    assert again["id"] == port["id"]
    assert {one["subnet_id"] for one in again["fixed_ips"]} == {first["id"], second["id"]}
    await net.call("PUT", f"/subnets/{second['id']}", {"subnet": {"enable_dhcp": False}})
    assert [one["subnet_id"] for one in (await dhcp_port(net, network))["fixed_ips"]] == [first["id"]]
    assert (await net.call("DELETE", f"/subnets/{first['id']}")).status == 204
    assert await dhcp_port(net, network) is None


async def test_the_dhcp_port_is_nobodys_to_make_change_or_delete(net: Any) -> None:
    """Security class 10: a port that pretends to be the DHCP server."""
    network, _ = await net.network_with_subnet()
    port = await dhcp_port(net, network)
    await net.refused("DELETE", f"/ports/{port['id']}", status=409, kind="ServicePortInUse")
    for change in ({"device_owner": ""}, {"mac_address": "fa:16:3e:00:00:01"}, {"fixed_ips": []}):
        token = net.ADMIN
        await net.refused("PUT", f"/ports/{port['id']}", {"port": change}, token, status=409, kind="PortInUse")
    asked = {"port": {"network_id": network["id"], "device_owner": "network:dhcp"}}
    await net.refused("POST", "/ports", asked, net.ADMIN, status=400, kind="InvalidInput")
    assert (await net.call("PUT", f"/ports/{port['id']}", {"port": {"name": "dhcp"}})).status == 200


async def test_a_subnet_is_not_deleted_under_an_address(net: Any) -> None:
    network, made = await net.network_with_subnet()
    port = await net.make("port", network_id=network["id"])
    await net.refused("DELETE", f"/subnets/{made['id']}", status=409, kind="SubnetInUse")
    await net.call("DELETE", f"/ports/{port['id']}")
    assert (await net.call("DELETE", f"/subnets/{made['id']}")).status == 204

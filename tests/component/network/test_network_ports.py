"""Ports over HTTP."""

from __future__ import annotations

import asyncio
import re
from ipaddress import ip_address, ip_network
from typing import Any

from skybus.ids import new_id
from skybus.network.pools import Address
from skybus.network.server_ports import ports_for_server
from skybus.store import Store


def address(port: Any, index: int = 0) -> Address:
    return ip_address(port["fixed_ips"][index]["ip_address"])


async def test_a_port_is_made_shown_changed_and_deleted(net: Any) -> None:
    network, subnet = await net.network_with_subnet()
    made = await net.make("port", network_id=network["id"], name="p")
    assert re.fullmatch(r"fa:16:3e(:[0-9a-f]{2}){3}", made["mac_address"])
    assert (made["status"], made["device_id"], made["binding:vnic_type"]) == ("DOWN", "", "normal")
    assert made["fixed_ips"][0]["subnet_id"] == subnet["id"]
    assert address(made) in ip_network(subnet["cidr"])
    groups = (await net.get("/security-groups"))["security_groups"]
    assert made["security_groups"] == [groups[0]["id"]]
    assert "binding:host_id" not in made
    assert (await net.get(f"/ports/{made['id']}"))["port"] == made
    new = {"name": "q", "admin_state_up": False, "device_id": "mine", "security_groups": []}
    changed = (await net.call("PUT", f"/ports/{made['id']}", {"port": new})).body["port"]
    assert {key: changed[key] for key in new} == new
    assert (await net.call("DELETE", f"/ports/{made['id']}")).status == 204
    await net.refused("GET", f"/ports/{made['id']}", status=404, kind="PortNotFound")


async def test_a_port_has_one_address_of_each_family_or_those_asked_for(net: Any) -> None:
    network, four = await net.network_with_subnet("10.1.0.0/24")
    six = await net.make("subnet", network_id=network["id"], cidr="fd00::/64", ip_version=6)
    both = await net.make("port", network_id=network["id"])
    assert sorted(one["subnet_id"] for one in both["fixed_ips"]) == sorted([four["id"], six["id"]])
    none = await net.make("port", network_id=network["id"], fixed_ips=[])
    assert none["fixed_ips"] == []
    asked = [{"ip_address": "10.1.0.77"}, {"subnet_id": six["id"]}]
    some = await net.make("port", network_id=network["id"], fixed_ips=asked)
    assert str(address(some)) == "10.1.0.77"
    assert address(some, 1).version == 6
    body = {"port": {"network_id": network["id"], "fixed_ips": [{"ip_address": "10.1.0.77"}]}}
    await net.refused("POST", "/ports", body, status=409, kind="IpAddressInUse")


async def test_ports_that_cannot_be_are_refused(net: Any, store: Store) -> None:
    network, subnet = await net.network_with_subnet("10.1.0.0/24")
    _, elsewhere = await net.network_with_subnet("10.2.0.0/24")
    before = await store.fetchval("SELECT count(*) FROM bus.outbox")

    def port(**more: Any) -> dict[str, Any]:
        return {"port": {"network_id": network["id"], **more}}

    cases: list[tuple[dict[str, Any], int, str]] = [
        (port(fixed_ips=[{"ip_address": "10.2.0.5"}]), 400, "InvalidIpForNetwork"),
        (port(fixed_ips=[{"ip_address": "10.1.0.0"}]), 400, "InvalidIpForNetwork"),
        (port(fixed_ips=[{"ip_address": "10.2.0.5", "subnet_id": subnet["id"]}]), 400, "InvalidIpForSubnet"),
        (port(fixed_ips=[{"subnet_id": elsewhere["id"]}]), 400, "InvalidInput"),
        (port(fixed_ips=[{"ip_address": "nonsense"}]), 400, "InvalidInput"),
        (port(fixed_ips=[{}]), 400, "InvalidInput"),
        (port(fixed_ips=[{"ip_address": f"10.1.0.{n}"} for n in range(10, 16)]), 400, "InvalidInput"),
        (port(fixed_ips=[{"ip_address": "10.1.0.9", "colour": "red"}]), 400, "HTTPBadRequest"),
        (port(mac_address="nonsense"), 400, "InvalidInput"),
        (port(mac_address="01:16:3e:00:00:01"), 400, "InvalidInput"),
        (port(allowed_address_pairs=[{"ip_address": "10.1.0.9"}]), 400, "HTTPBadRequest"),
        (port(**{"binding:vnic_type": "direct"}), 400, "HTTPBadRequest"),
        (port(**{"binding:host_id": "h"}), 403, "PolicyNotAuthorized"),
        (port(security_groups=["00000000-0000-4000-8000-000000000000"]), 404, "SecurityGroupNotFound"),
        (port(name="n" * 256), 400, "HTTPBadRequest"),
        ({"port": {}}, 400, "HTTPBadRequest"),
        ({"port": {"network_id": new_id()}}, 404, "NetworkNotFound"),
    ]
    for body, status, kind in cases:
        await net.refused("POST", "/ports", body, status=status, kind=kind)
    assert len((await net.get("/ports?device_owner="))["ports"]) == 0
    assert await store.fetchval("SELECT count(*) FROM bus.outbox") == before


async def test_no_address_and_no_mac_is_given_twice_and_a_full_subnet_says_so(net: Any) -> None:
    network, _ = await net.network_with_subnet("10.1.0.0/27")
    body = {"port": {"network_id": network["id"]}}
    answers = await asyncio.gather(*(net.call("POST", "/ports", body) for _ in range(34)))
    made = [answer.body["port"] for answer in answers if answer.status == 201]
    refused = [answer for answer in answers if answer.status != 201]
    # 32 addresses less the network's own, the broadcast address, the gateway's and the DHCP port's.
    assert len(made) == 28
    assert len({address(port) for port in made}) == len({port["mac_address"] for port in made}) == 28
    assert {(one.status, one.body["NeutronError"]["type"]) for one in refused} == {(409, "IpAddressGenerationFailure")}
    await net.call("DELETE", f"/ports/{made[3]['id']}")
    assert address(await net.make("port", network_id=network["id"])) == address(made[3])


async def test_a_second_subnet_takes_over_when_the_first_is_full(net: Any) -> None:
    network, _ = await net.network_with_subnet("10.1.0.0/29")
    await net.make("subnet", network_id=network["id"], cidr="10.2.0.0/24", ip_version=4)
    ports = [await net.make("port", network_id=network["id"]) for _ in range(6)]
    assert sum(address(port) in ip_network("10.2.0.0/24") for port in ports) == 2


async def test_many_ports_are_made_in_one_request_or_none(net: Any) -> None:
    network, _ = await net.network_with_subnet()
    other, _ = await net.network_with_subnet("10.5.0.0/24")
    answer = await net.call("POST", "/ports", {"ports": [{"network_id": network["id"]}, {"network_id": other["id"]}]})
    assert [port["network_id"] for port in answer.body["ports"]] == [network["id"], other["id"]]
    twice = [{"network_id": network["id"], "fixed_ips": [{"ip_address": "10.1.0.50"}]}] * 2
    await net.refused("POST", "/ports", {"ports": twice}, status=409, kind="IpAddressInUse")
    assert len((await net.get("/ports?fixed_ips=ip_address=10.1.0.50"))["ports"]) == 0


async def test_ports_are_found_by_what_they_have(net: Any) -> None:
    network, subnet = await net.network_with_subnet()
    first = await net.make("port", network_id=network["id"], name="a", fixed_ips=[{"ip_address": "10.1.0.50"}])
    second = await net.make("port", network_id=network["id"], name="b", fixed_ips=[{"ip_address": "10.1.0.61"}])
    searches = {
        "fixed_ips=ip_address=10.1.0.50": [first],
        f"fixed_ips=subnet_id={subnet['id']}&name=b": [second],
        "fixed_ips=ip_address_substr=0.1.0.6&device_owner=": [second],
        "fixed_ips=ip_address=10.1.0.50&fixed_ips=ip_address=10.1.0.61": [first, second],
        f"mac_address={first['mac_address'].upper()}": [first],
        f"id={first['id']}&id={second['id']}": [first, second],
        f"network_id={network['id']}&device_owner=&status=DOWN": [first, second],
        f"security_groups={first['security_groups'][0]}": [first, second],
        "fixed_ips=ip_address=nonsense": [],
        "mac_address=nonsense": [],
        "binding:vnic_type=direct": [],
    }
    for query, expected in searches.items():
        found = (await net.get(f"/ports?{query}"))["ports"]
        assert [port["id"] for port in found] == [port["id"] for port in expected], query
    await net.refused("GET", "/ports?fixed_ips=colour=red", status=400, kind="InvalidInput")


async def test_the_addresses_of_a_port_change_as_asked(net: Any) -> None:
    network, subnet = await net.network_with_subnet()
    port = await net.make("port", network_id=network["id"], fixed_ips=[{"ip_address": "10.1.0.50"}])
    path = f"/ports/{port['id']}"
    more = {"port": {"fixed_ips": [{"ip_address": "10.1.0.51"}, {"subnet_id": subnet["id"]}]}}
    changed = (await net.call("PUT", path, more)).body["port"]
    assert [one["ip_address"] for one in changed["fixed_ips"]] == ["10.1.0.50", "10.1.0.51"]
    changed = (await net.call("PUT", path, {"port": {"fixed_ips": []}})).body["port"]
    assert changed["fixed_ips"] == []
    await net.make("port", network_id=network["id"], fixed_ips=[{"ip_address": "10.1.0.50"}])
    taken = {"port": {"fixed_ips": [{"ip_address": "10.1.0.50"}]}}
    await net.refused("PUT", path, taken, status=409, kind="IpAddressInUse")


async def test_another_projects_port_does_not_exist_but_a_networks_owner_sees_all_on_it(net: Any) -> None:
    """Security class 14: cross-tenant access."""
    network, _ = await net.network_with_subnet()
    mine = await net.make("port", network_id=network["id"])
    for method, body in (("GET", None), ("PUT", {"port": {"name": "x"}}), ("DELETE", None)):
        await net.refused(method, f"/ports/{mine['id']}", body, net.BOB, status=404, kind="PortNotFound")
    body = {"port": {"network_id": network["id"]}}
    await net.refused("POST", "/ports", body, net.BOB, status=404, kind="NetworkNotFound")
    await net.refused("POST", "/ports", body, net.READER, status=403)
    shared, _ = await net.network_with_subnet("10.5.0.0/24", net.ADMIN, shared=True)
    bobs = await net.make("port", net.BOB, network_id=shared["id"])
    assert [port["id"] for port in (await net.get("/ports", net.BOB))["ports"]] == [bobs["id"]]
    await net.refused("GET", f"/ports/{bobs['id']}", status=404)
    assert (await net.get(f"/ports/{bobs['id']}", net.ADMIN))["port"]["binding:vif_type"] == "unbound"


async def test_on_a_shared_network_nobody_picks_an_address_a_mac_or_goes_unguarded(net: Any) -> None:
    """Security class 10: anti-spoofing bypass."""
    shared, subnet = await net.network_with_subnet("10.5.0.0/24", net.ADMIN, shared=True)
    for attribute in (
        {"mac_address": "fa:16:3e:00:00:01"},
        {"fixed_ips": [{"ip_address": "10.5.0.9"}]},
        {"port_security_enabled": False},
        {"device_owner": "network:router_interface"},
    ):
        body = {"port": {"network_id": shared["id"], **attribute}}
        await net.refused("POST", "/ports", body, status=403, kind="PolicyNotAuthorized")
    port = await net.make("port", network_id=shared["id"], fixed_ips=[{"subnet_id": subnet["id"]}])
    for attribute in ({"port_security_enabled": False}, {"mac_address": "fa:16:3e:00:00:01"}, {"fixed_ips": []}):
        body = {"port": {**attribute, "security_groups": []}}
        await net.refused("PUT", f"/ports/{port['id']}", body, status=403, kind="PolicyNotAuthorized")


async def test_the_guard_goes_only_with_the_groups(net: Any) -> None:
    network, _ = await net.network_with_subnet()
    port = await net.make("port", network_id=network["id"])
    off = {"port": {"port_security_enabled": False}}
    await net.refused("PUT", f"/ports/{port['id']}", off, status=409, kind="PortSecurityPortHasSecurityGroup")
    off["port"]["security_groups"] = []  # type: ignore[assignment]
    changed = (await net.call("PUT", f"/ports/{port['id']}", off)).body["port"]
    assert changed["port_security_enabled"] is False
    bare = await net.make("port", network_id=network["id"], port_security_enabled=False)
    assert bare["security_groups"] == []


async def test_a_port_that_a_server_has_is_the_servers(net: Any, store: Store) -> None:
    """Security class 10: a port update opens no window."""
    network, _ = await net.network_with_subnet()
    server_id = new_id()
    async with store.transaction() as tx:
        [port] = await ports_for_server(
            tx, project_id="p1", is_admin=False, server_id=server_id, hostname="h", requested="auto"
        )
    path = f"/ports/{port['id']}"
    for token in (net.ALICE, net.ADMIN):
        await net.refused("DELETE", path, None, token, status=409, kind="PortInUse")
        for change in (
            {"device_id": ""},
            {"device_owner": "compute:elsewhere"},
            {"fixed_ips": []},
            {"port_security_enabled": False, "security_groups": []},
            {"admin_state_up": False},
        ):
            await net.refused("PUT", path, {"port": change}, token, status=409, kind="PortInUse")
    await net.refused("PUT", path, {"port": {"binding:host_id": "h"}}, net.ADMIN, status=409, kind="PortInUse")
    shown = (await net.get(path))["port"]
    same = {key: shown[key] for key in ("device_id", "device_owner", "fixed_ips", "admin_state_up")}
    assert (await net.call("PUT", path, {"port": {**same, "name": "x"}})).body["port"]["name"] == "x"
    await net.refused("DELETE", f"/networks/{network['id']}", status=409, kind="NetworkInUse")


async def test_the_administrator_binds_a_port(net: Any) -> None:
    network, _ = await net.network_with_subnet()
    body = {"network_id": network["id"], "binding:host_id": "h1"}
    port = await net.make("port", net.ADMIN, **body)
    assert (port["binding:host_id"], port["binding:vif_type"]) == ("h1", "bridge")
    path = f"/ports/{port['id']}"
    changed = (await net.call("PUT", path, {"port": {"binding:host_id": "h2"}}, net.ADMIN)).body["port"]
    assert changed["binding:host_id"] == "h2"
    found = (await net.get("/ports?binding:host_id=h2", net.ADMIN))["ports"]
    assert [one["id"] for one in found] == [port["id"]]
    assert (await net.call("DELETE", path, token=net.ADMIN)).status == 204


async def test_port_quotas_hold_when_many_ask_at_once(net: Any) -> None:
    """Security class 16: a quota on every creatable thing."""
    network, _ = await net.network_with_subnet()
    await net.call("PUT", "/quotas/p1", {"quota": {"port": 4}}, net.ADMIN)
    body = {"port": {"network_id": network["id"]}}
    answers = await asyncio.gather(*(net.call("POST", "/ports", body) for _ in range(9)))
    assert sorted(answer.status for answer in answers) == [201] * 4 + [409] * 5
    await net.refused("POST", "/ports", {"ports": [body["port"]] * 2}, status=409, kind="OverQuota")

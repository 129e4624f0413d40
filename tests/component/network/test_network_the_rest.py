"""Versions, extensions, agents, groups, quotas, zones."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from skybus import clock
from skybus.ids import new_id
from skybus.messages.network import NetworkReport
from skybus.network.agents import agent_heard, host_heard
from skybus.store import Store


async def test_versions_are_for_everybody(net: Any) -> None:
    for path in ("/network", "/network/"):
        answer = await net.client.call("GET", path, token=None)
        [version] = answer.body["versions"]
        assert (version["id"], version["status"]) == ("v2.0", "CURRENT")
        assert version["links"][0]["href"] == f"{net.client.url}/network/v2.0/"
    resources = (await net.client.call("GET", "/network/v2.0/", token=None)).body["resources"]
    assert {one["name"] for one in resources} == {"network", "subnet", "port"}


async def test_extensions_are_listed_and_shown(net: Any) -> None:
    found = (await net.get("/extensions"))["extensions"]
    for one in found:
        assert (await net.get(f"/extensions/{one['alias']}"))["extension"] == one
    assert {"provider", "binding", "security-group", "quotas"} <= {one["alias"] for one in found}
    assert "router" not in {one["alias"] for one in found}
    await net.refused("GET", "/extensions/router", status=404)
    assert (await net.get("/availability_zones"))["availability_zones"][0]["state"] == "available"
    assert (await net.get("/service-providers"))["service_providers"] == []
    await net.refused("GET", "/routers", status=404, kind="HTTPNotFound")


async def test_agents_are_the_administrators_to_see(net: Any, store: Store) -> None:
    async with store.transaction() as tx:
        for host in ("h1", "h2"):
            await host_heard(tx, host, "172.16.0.1")
            await agent_heard(tx, NetworkReport(host=host, taken_at=clock.now(), started=True, networks=["n"]))
        await tx.execute("UPDATE network.agent SET heard_at = $1 WHERE host = 'h2'", clock.now() - timedelta(hours=1))
    assert (await net.get("/agents"))["agents"] == []
    found = {one["host"]: one for one in (await net.get("/agents", net.ADMIN))["agents"]}
    assert {host: one["alive"] for host, one in found.items()} == {"h1": True, "h2": False}
    assert found["h1"]["configurations"]["tunneling_ip"] == "172.16.0.1"
    for query, hosts in (("alive=True", ["h1"]), ("alive=false", ["h2"]), ("host=h2", ["h2"]), ("binary=x", [])):
        assert [one["host"] for one in (await net.get(f"/agents?{query}", net.ADMIN))["agents"]] == hosts
    path = f"/agents/{found['h1']['id']}"
    await net.refused("GET", path, status=404, kind="AgentNotFound")
    await net.refused("PUT", path, {"agent": {"description": "x"}}, status=403)
    changed = (await net.call("PUT", path, {"agent": {"description": "x"}}, net.ADMIN)).body["agent"]
    assert changed["description"] == "x"
    await net.refused("DELETE", path, None, net.ADMIN, status=409)
    assert (await net.call("DELETE", f"/agents/{found['h2']['id']}", token=net.ADMIN)).status == 204
    await net.refused("GET", f"/agents/{new_id()}", None, net.ADMIN, status=404)


async def test_each_project_has_one_default_group_however_many_look_at_once(net: Any) -> None:
    answers = await asyncio.gather(*(net.get("/security-groups") for _ in range(6)))
    assert len({answer["security_groups"][0]["id"] for answer in answers}) == 1
    group = answers[0]["security_groups"][0]
    assert (group["name"], group["project_id"]) == ("default", "p1")
    rules = (await net.get(f"/security-group-rules?security_group_id={group['id']}"))["security_group_rules"]
    assert rules == group["security_group_rules"]
    kinds = {(rule["direction"], rule["ethertype"]) for rule in rules}
    assert kinds == {(way, kind) for way in ("ingress", "egress") for kind in ("IPv4", "IPv6")}
    shown = await net.get(f"/security-group-rules/{rules[0]['id']}")
    assert shown["security_group_rule"] == rules[0]
    assert (await net.get(f"/security-groups/{group['id']}"))["security_group"] == group


async def test_groups_of_others_do_not_exist_and_none_can_be_made(net: Any) -> None:
    """Security class 14: cross-tenant access."""
    group = (await net.get("/security-groups"))["security_groups"][0]
    rule = group["security_group_rules"][0]
    assert (await net.get("/security-groups", net.BOB))["security_groups"][0]["id"] != group["id"]
    for path in (f"/security-groups/{group['id']}", f"/security-group-rules/{rule['id']}", "/security-groups/x"):
        await net.refused("GET", path, None, net.BOB, status=404)
    await net.refused("DELETE", f"/security-groups/{group['id']}", None, net.BOB, status=404)
    await net.refused("DELETE", f"/security-groups/{group['id']}", status=409, kind="SecurityGroupCannotRemoveDefault")
    await net.refused("POST", "/security-groups", {"security_group": {"name": "x"}}, status=501)
    network, _ = await net.network_with_subnet("10.1.0.0/24", net.BOB)
    asked = {"port": {"network_id": network["id"], "security_groups": [group["id"]]}}
    await net.refused("POST", "/ports", asked, net.BOB, status=404, kind="SecurityGroupNotFound")


async def test_an_administrator_removes_a_default_group_that_no_port_has_and_it_comes_back(net: Any) -> None:
    group = (await net.get("/security-groups"))["security_groups"][0]
    network, _ = await net.network_with_subnet()
    port = (await net.call("POST", "/ports", {"port": {"network_id": network["id"]}})).body["port"]
    assert port["security_groups"] == [group["id"]]
    path = f"/security-groups/{group['id']}"
    await net.refused("DELETE", path, None, net.ADMIN, status=409, kind="SecurityGroupInUse")
    assert (await net.call("DELETE", f"/ports/{port['id']}")).status == 204
    assert (await net.call("DELETE", path, token=net.ADMIN)).status == 204
    await net.refused("DELETE", path, None, net.ADMIN, status=404)
    again = (await net.get("/security-groups"))["security_groups"]
    assert [one["name"] for one in again] == ["default"]
    assert again[0]["id"] != group["id"]


async def test_quotas_are_shown_changed_and_reset(net: Any) -> None:
    manager = "mia:p1:manager,member,reader"
    await net.network_with_subnet()
    assert (await net.get("/quotas/p1", manager))["quota"]["network"] == 100
    changed = await net.call("PUT", "/quotas/p1", {"quota": {"network": 7, "port": -1}}, net.ADMIN)
    assert (changed.body["quota"]["network"], changed.body["quota"]["port"]) == (7, -1)
    details = (await net.get("/quotas/p1/details", manager))["quota"]
    assert details["network"] == {"limit": 7, "used": 1, "reserved": 0}
    assert details["port"]["used"] == 0
    assert (await net.get("/quotas/p1/default", manager))["quota"]["network"] == 100
    assert [one["project_id"] for one in (await net.get("/quotas", net.ADMIN))["quotas"]] == ["p1"]
    assert (await net.call("DELETE", "/quotas/p1", token=net.ADMIN)).status == 204
    assert (await net.get("/quotas/p1", manager))["quota"]["network"] == 100
    await net.refused("GET", "/quotas/p2", None, manager, status=403)
    await net.refused("PUT", "/quotas/p1", {"quota": {"network": 7}}, manager, status=403)
    for bad in ({"network": "many"}, {"network": -2}, {"colour": 1}, {"network": 2**31}):
        await net.refused("PUT", "/quotas/p1", {"quota": bad}, net.ADMIN, status=400)


async def test_junk_in_paths_queries_and_bodies_is_never_our_fault(net: Any, store: Store) -> None:
    """Security classes 15 and 16: what no attribute can hold is a 4xx, and changes nothing."""
    network, _ = await net.network_with_subnet()
    before = await store.fetchval("SELECT count(*) FROM bus.outbox")
    junk = (
        "%00",
        "%ff",
        "%F0%9F%92%A9",
        "--5",
        "9" * 5000,
        "1e9",
        "'; DROP TABLE x; --",
        "f:a163e000001",
        "fe80::1%25eth0",
    )
    names = ("id", "name", "limit", "marker", "mtu", "fixed_ips", "mac_address", "network_id", "fields", "sort_key",
             "admin_state_up", "provider:segmentation_id", "ip_version", "gateway_ip", "cidr", "alive",
             "revision_number", "security_groups", "page_reverse")  # fmt: skip
    for collection in ("networks", "subnets", "ports", "security-groups", "security-group-rules", "agents"):
        for value in junk:
            queries = [f"{name}={value}" for name in names] + [f"fixed_ips=ip_address={value}"]
            for query in queries:
                answer = await net.call("GET", f"/{collection}?{query}", token=net.ADMIN)
                assert answer.status < 500, (collection, query, answer)
    for value in junk:
        for path in ("networks", "subnets", "ports", "security-groups", "agents", "extensions", "quotas"):
            for method in ("GET", "PUT", "DELETE"):
                answer = await net.call(method, f"/{path}/{value}", {}, net.BOB)
                assert 400 <= answer.status < 500, (method, path, value, answer)
    headers = {"Content-Type": "application/json"}
    for data in (
        b"\xff",
        b'{"port": {"name": "\\ud800"}}',
        b"[" * 5000,
        b'{"port": 1e999}',
        b"null",
        b'{"port": null}',
    ):
        for path in ("networks", "subnets", "ports"):
            answer = await net.call("POST", f"/{path}", data=data, headers=headers)
            assert answer.status == 400, (path, data, answer)
    odd_ports: list[dict[str, Any]] = [
        {"fixed_ips": [{"ip_address": "::ffff:10.1.0.9"}]},
        {"fixed_ips": [{"ip_address": "010.1.0.9"}]},
        {"mac_address": "fa-16-3e-00-00-zz"},
        {"mac_address": "f:a163e00000001"},
        {"name": "\x00"},
    ]
    for odd in odd_ports:
        answer = await net.call("POST", "/ports", {"port": {"network_id": network["id"], **odd}})
        assert answer.status == 400, (odd, answer)
    assert await store.fetchval("SELECT count(*) FROM bus.outbox") == before

"""What compute and the sagas do with ports."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from skybus import clock
from skybus.errors import BadRequest, CloudError, Conflict, Forbidden, NotFound, QuotaExceeded
from skybus.ids import new_id
from skybus.messages.network import NetworkReport, PortSeen
from skybus.network.agents import agent_heard, agent_last, host_heard
from skybus.network.binding import port_bind, port_unbind
from skybus.network.ports import port_get, port_move
from skybus.network.server_ports import (
    Wanted,
    addresses_of_servers,
    cards_of_servers,
    ports_for_server,
    ports_of_server,
    ports_release,
)
from skybus.network.states import Cause, State
from skybus.network.wiring import peers_changed, plug_orders, ports_expected_on, unplug_order
from skybus.store import Store


async def give(store: Store, requested: Any, server_id: str | None = None, **more: Any) -> list[Any]:
    """Ports for a server of project p1, in a transaction of their own."""
    asked = {"project_id": "p1", "is_admin": False, "hostname": "web-1", **more}
    async with store.transaction() as tx:
        return await ports_for_server(tx, server_id=server_id or new_id(), requested=requested, **asked)


async def bind(store: Store, port_id: str, host: str | None) -> None:
    async with store.transaction() as tx:
        await (port_bind(tx, port_id, host) if host else port_unbind(tx, port_id))


async def test_a_server_gets_a_port_on_the_one_network_there_is(net: Any, store: Store) -> None:
    assert await give(store, None) == []
    assert await give(store, "none") == []
    with pytest.raises(BadRequest, match="Unable to automatically allocate a network"):
        await give(store, "auto")
    network, _ = await net.network_with_subnet()
    await net.make("network", net.ADMIN, **{"router:external": True})
    server_id = new_id()
    [port] = await give(store, "auto", server_id)
    assert (port["network_id"], port["device_id"], port["device_owner"]) == (network["id"], server_id, "compute:nova")
    shown = (await net.get(f"/ports?device_id={server_id}"))["ports"]
    assert [one["id"] for one in shown] == [port["id"]]
    assert await give(store, "none") == []
    await net.make("network", net.ADMIN, shared=True)
    with pytest.raises(Conflict, match="Multiple possible networks found"):
        await give(store, None)


async def test_a_server_gets_what_it_asks_for_in_that_order(net: Any, store: Store) -> None:
    first, _ = await net.network_with_subnet("10.1.0.0/24")
    second, _ = await net.network_with_subnet("10.2.0.0/24")
    ready = await net.make("port", network_id=first["id"])
    server_id = new_id()
    asked = [{"network_id": second["id"], "fixed_ip": "10.2.0.40"}, {"port_id": ready["id"]},
             Wanted(network_id=first["id"])]  # fmt: skip
    ports = await give(store, asked, server_id)
    assert [port["network_id"] for port in ports] == [second["id"], first["id"], first["id"]]
    assert ports[1]["id"] == ready["id"]
    assert [port["owned_by_server"] for port in ports] == [True, False, True]
    cards = (await cards_of_servers(store, [server_id]))[server_id]
    assert [port["id"] for port in cards] == [port["id"] for port in ports]
    found = (await addresses_of_servers(store, [server_id, new_id()]))[server_id]
    assert [(one.network, one.version, one.mac) for one in found] == [("n", 4, port["mac"]) for port in ports]
    assert found[0].address == "10.2.0.40"


async def test_what_cannot_be_given_is_refused_in_novas_words(net: Any, store: Store) -> None:
    network, _ = await net.network_with_subnet("10.1.0.0/24")
    bare = await net.make("network")
    outside, _ = await net.network_with_subnet("10.3.0.0/24", net.ADMIN, **{"router:external": True})
    bobs, _ = await net.network_with_subnet("10.4.0.0/24", net.BOB)
    await net.make("port", network_id=network["id"], fixed_ips=[{"ip_address": "10.1.0.9"}])
    busy = await net.make("port", network_id=network["id"], device_id="something")
    empty = await net.make("port", network_id=network["id"], fixed_ips=[])
    bobs_port = await net.make("port", net.BOB, network_id=bobs["id"])
    nobody = new_id()
    free = await net.make("port", network_id=network["id"])
    cases: list[tuple[list[dict[str, Any]], type[CloudError], str]] = [
        ([{"network_id": nobody}], BadRequest, f"Network {nobody} could not be found"),
        ([{"network_id": "nonsense"}], BadRequest, "Network nonsense could not be found"),
        ([{"network_id": bobs["id"]}], BadRequest, f"Network {bobs['id']} could not be found"),
        ([{"network_id": bare["id"]}], BadRequest, "requires a subnet"),
        ([{"network_id": outside["id"]}], Forbidden, "external network"),
        ([{"port_id": nobody}], BadRequest, f"Port id {nobody} could not be found"),
        ([{"port_id": bobs_port["id"]}], BadRequest, "could not be found"),
        ([{"port_id": busy["id"]}], Conflict, "is still in use"),
        ([{"port_id": empty["id"]}], BadRequest, "requires a FixedIP"),
        ([{"port_id": free["id"]}] * 2, BadRequest, "asked for twice"),
        ([{"network_id": network["id"], "fixed_ip": "10.1.0.9"}], BadRequest, "already in use"),
        ([{"network_id": network["id"], "fixed_ip": "10.9.0.9"}], BadRequest, "is not a valid IP"),
        ([{}], BadRequest, "neither a network nor a port"),
    ]
    ports = await store.fetchval("SELECT count(*) FROM network.port")
    for asked, kind, words in cases:
        with pytest.raises(kind, match=words):
            await give(store, [{"network_id": network["id"]}, *asked])
    assert await store.fetchval("SELECT count(*) FROM network.port") == ports
    assert (await give(store, [{"network_id": outside["id"]}], is_admin=True))[0]["network_id"] == outside["id"]


async def test_the_port_quota_counts_for_servers_too(net: Any, store: Store) -> None:
    """Security class 20: quota bypass through side doors."""
    await net.network_with_subnet()
    await net.call("PUT", "/quotas/p1", {"quota": {"port": 2}}, net.ADMIN)
    answers = await asyncio.gather(*(give(store, "auto") for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(answer, list) for answer in answers) == 2
    refused = [answer for answer in answers if isinstance(answer, QuotaExceeded)]
    assert {error.status for error in refused} == {403}
    assert len(refused) == 3


async def test_a_port_goes_to_one_of_two_servers_that_want_it(net: Any, store: Store) -> None:
    network, _ = await net.network_with_subnet()
    port = await net.make("port", network_id=network["id"])
    answers = await asyncio.gather(*(give(store, [{"port_id": port["id"]}]) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(answer, list) for answer in answers) == 1
    assert sum(isinstance(answer, Conflict) for answer in answers) == 3


async def test_a_user_who_names_a_server_in_device_id_gets_nothing_into_it(net: Any, store: Store) -> None:
    """Security class 14: a port that claims to be a stranger's server's."""
    network, _ = await net.network_with_subnet("10.1.0.0/24", net.BOB)
    server_id = new_id()
    await net.make("port", net.BOB, network_id=network["id"], device_id=server_id, device_owner="compute:nova")
    assert await ports_of_server(store, server_id) == []
    assert await addresses_of_servers(store, [server_id]) == {}


async def test_with_the_server_its_own_ports_go_and_adopted_ones_are_free_again(net: Any, store: Store) -> None:
    network, _ = await net.network_with_subnet()
    ready = await net.make("port", network_id=network["id"], name="keep me")
    server_id = new_id()
    own, adopted = await give(store, [{"network_id": network["id"]}, {"port_id": ready["id"]}], server_id)
    for port in (own, adopted):
        await bind(store, port["id"], "h1")
    async with store.transaction() as tx:
        await port_move(tx, adopted["id"], Cause.PLUGGED)
    for expected in ([network["id"]], []):
        async with store.transaction() as tx:
            assert await ports_release(tx, [server_id]) == expected
    await net.refused("GET", f"/ports/{own['id']}", status=404)
    left = (await net.get(f"/ports/{ready['id']}"))["port"]
    assert (left["device_id"], left["device_owner"], left["status"]) == ("", "", "DOWN")
    assert left["name"] == "keep me"
    assert await store.fetchval("SELECT count(*) FROM network.presence") == 0
    assert (await net.call("DELETE", f"/ports/{ready['id']}")).status == 204


async def test_a_port_moves_as_its_host_says(net: Any, store: Store) -> None:
    network, _ = await net.network_with_subnet()
    port = await net.make("port", network_id=network["id"])
    steps = [(Cause.PLUGGED, State.ACTIVE), (Cause.PLUGGED, State.ACTIVE), (Cause.FAILED, State.ERROR),
             (Cause.PLUGGED, State.ACTIVE), (Cause.UNPLUGGED, State.DOWN), (Cause.UNPLUGGED, State.DOWN)]  # fmt: skip
    for cause, state in steps:
        async with store.transaction() as tx:
            assert await port_move(tx, port["id"], cause) == state
        assert (await net.get(f"/ports/{port['id']}"))["port"]["status"] == state
    with pytest.raises(NotFound):
        async with store.transaction() as tx:
            await port_move(tx, new_id(), Cause.PLUGGED)


async def test_the_order_to_plug_tells_all_that_a_host_needs(net: Any, store: Store) -> None:
    network, subnet = await net.network_with_subnet("10.1.0.0/24")
    await net.call("PUT", f"/subnets/{subnet['id']}", {"subnet": {"dns_nameservers": ["9.9.9.9"]}})
    one, two, three = [(await give(store, "auto"))[0] for _ in range(3)]
    async with store.transaction() as tx:
        for number in (1, 2, 3):
            await host_heard(tx, f"h{number}", f"172.16.0.{number}")
    for port, host in ((one, "h1"), (two, "h2"), (three, "unheard-of")):
        await bind(store, port["id"], host)
    async with store.transaction() as tx:
        ((order,),) = (await plug_orders(tx, {one["server_id"]: "h1"})).values()
    dhcp = (await net.get("/ports?device_owner=network:dhcp"))["ports"][0]
    assert order.binding.tap == "tap" + one["id"][-11:]
    assert (order.binding.mac, order.binding.hostname, order.binding.port_security) == (one["mac"], "web-1", True)
    assert order.binding.fixed_ips == [(subnet["id"], one["fixed_ips"][0]["ip_address"])]
    segment = order.segment
    assert (segment.kind, segment.mtu, segment.peers) == ("vxlan", 1450, ["172.16.0.2"])
    assert (segment.dhcp_port_id, segment.dhcp_mac) == (dhcp["id"], dhcp["mac_address"])
    assert segment.subnets[0].dhcp_ip == dhcp["fixed_ips"][0]["ip_address"]
    assert (segment.subnets[0].gateway_ip, segment.subnets[0].dns_nameservers) == ("10.1.0.1", ["9.9.9.9"])
    assert unplug_order(one["id"], network["id"]).tap == order.binding.tap


async def test_peers_change_when_a_network_comes_to_a_host_or_leaves_it(net: Any, store: Store) -> None:
    network, _ = await net.network_with_subnet()
    ports = [(await give(store, "auto"))[0]["id"] for _ in range(3)]
    async with store.transaction() as tx:
        for number in (1, 2):
            assert await host_heard(tx, f"h{number}", f"172.16.0.{number}") == []

    async def picture() -> tuple[int, dict[str, list[str]]]:
        async with store.transaction() as tx:
            orders = await peers_changed(tx, network["id"])
        assert len({order.peers_version for _, order in orders}) <= 1
        return max((order.peers_version for _, order in orders), default=0), {h: o.peers for h, o in orders}

    assert await picture() == (0, {})
    await bind(store, ports[0], "h1")
    assert await picture() == (1, {"h1": []})
    await bind(store, ports[1], "h1")
    assert await picture() == (0, {})  # nothing new to tell
    await bind(store, ports[2], "h2")
    assert await picture() == (2, {"h1": ["172.16.0.2"], "h2": ["172.16.0.1"]})
    async with store.transaction() as tx:
        assert await host_heard(tx, "h2", "172.16.0.9") == [network["id"]]
        assert await host_heard(tx, "h2", "172.16.0.9") == []
    assert await picture() == (3, {"h1": ["172.16.0.9"], "h2": ["172.16.0.1"]})
    assert [row["id"] for row in await ports_expected_on(store, "h1")] == sorted(ports[:2])
    await bind(store, ports[0], None)
    assert await picture() == (0, {})
    await bind(store, ports[1], "h2")
    assert await picture() == (4, {"h2": []})
    await bind(store, ports[1], None)
    await bind(store, ports[2], None)
    assert await picture() == (0, {})


async def test_a_host_cannot_put_anything_but_an_address_among_the_peers(store: Store) -> None:
    """Security class 15: what a host says reaches other hosts' tools."""
    for bad in ("h1", "", "10.0.0.1 dev eth0", "10.0.0.1\n", "fe80::1%eth0"):
        with pytest.raises(BadRequest):
            async with store.transaction() as tx:
                await host_heard(tx, "h1", bad)
    assert await store.fetchval("SELECT count(*) FROM network.host") == 0


async def test_presence_is_right_after_any_number_bind_and_unbind_at_once(net: Any, store: Store) -> None:
    await net.network_with_subnet()
    ports = [(await give(store, "auto"))[0]["id"] for _ in range(6)]
    for round_ in range(4):
        hosts = [None if (round_ + n) % 3 == 0 else f"h{(round_ + n) % 2}" for n in range(6)]
        await asyncio.gather(*(bind(store, port, host) for port, host in zip(ports, hosts, strict=True)))
        present = {row["host"] for row in await store.fetch("SELECT host FROM network.presence")}
        assert present == {host for host in hosts if host}
    await asyncio.gather(*(bind(store, port, None) for port in ports))
    assert await store.fetchval("SELECT count(*) FROM network.presence") == 0
    assert (await port_get(store, ports[0]))["host"] == ""


async def test_an_old_report_that_comes_late_changes_nothing(store: Store) -> None:
    now = clock.now()

    def report(age: int, ports: int, *, started: bool = False) -> NetworkReport:
        seen = [PortSeen(port_id=f"p{n}", network_id="n") for n in range(ports)]
        taken_at = now - timedelta(seconds=age)
        return NetworkReport(host="h1", taken_at=taken_at, started=started, ports=seen, networks=["n"])

    async with store.transaction() as tx:
        assert await agent_heard(tx, report(30, 1, started=True))
        assert await agent_heard(tx, report(10, 2))
        assert not await agent_heard(tx, report(20, 3))
        assert not await agent_heard(tx, report(10, 2))
    last = await agent_last(store, "h1")
    assert last["ports"] == [["p0", "n"], ["p1", "n"]]
    assert await agent_last(store, "h2") is None

"""What guests get and what they may not do, on real bridges, taps and tunnels."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from component.network_agent.orders import Net, unplug
from skybus.config import Config
from skybus.messages.network import PlugPort, UpdatePeers
from system.network_agent import frames
from system.network_agent.lab import SILENCE_SECONDS, Guest, Lab, Starter, Wire, ip

pytestmark = pytest.mark.system


@contextmanager
def wires(config: Config, *orders: PlugPort) -> Iterator[list[Wire]]:
    """The far ends of these ports' taps."""
    made = [Wire(config, order.binding.tap) for order in orders]
    try:
        yield made
    finally:
        for wire in made:
            wire.close()


def ask_dhcp(wire: Wire, order: PlugPort) -> tuple[str, dict[int, bytes]]:
    """Asks for the port's address until there is an answer, and takes it."""
    mac = order.binding.mac
    ask_until_answered(wire, mac, frames.dhcp(mac, 1))
    wanted = order.binding.fixed_ips[0][1]
    return ask_until_answered(wire, mac, frames.dhcp(mac, 3, requested=wanted, server=dhcp_ip(order)))


def ask_until_answered(wire: Wire, mac: str, question: bytes) -> tuple[str, dict[int, bytes]]:
    """The first answer to a DHCP question that is repeated as clients do."""
    for _ in range(5):
        wire.send(question)
        frame = wire.find(lambda frame: frames.dhcp_answer(mac, frame) is not None, 2.0)
        answer = frames.dhcp_answer(mac, frame) if frame is not None else None
        if answer is not None:
            return answer
    raise AssertionError("nobody answers the DHCP client")


def dhcp_ip(order: PlugPort) -> str:
    return order.segment.subnets[0].dhcp_ip or ""


async def test_dhcp_gives_the_ports_address_with_all_that_the_subnet_says(lab: Lab, start: Starter) -> None:
    config = lab.host()
    agent, order = await start(config), Net(0).plug(11)
    await agent.plug(order)
    with wires(config, order) as (wire,):
        address, options = await asyncio.to_thread(ask_dhcp, wire, order)
    assert address == "10.71.0.11"
    assert options[53] == b"\x05"  # ACK
    assert socket.inet_ntoa(options[1]) == "255.255.255.0"
    assert socket.inet_ntoa(options[3]) == "10.71.0.1"
    assert socket.inet_ntoa(options[6]) == "9.9.9.9"
    assert socket.inet_ntoa(options[54]) == "10.71.0.2"
    assert int.from_bytes(options[26], "big") == 1400
    assert options[12] == b"vm11"
    assert frames.classless_routes(options[121]) == {
        "10.99.0.0/16": "10.71.0.9",
        "169.254.169.254/32": "10.71.0.2",
        "0.0.0.0/0": "10.71.0.1",
    }


async def test_without_a_gateway_dhcp_names_no_router(lab: Lab, start: Starter) -> None:
    config = lab.host()
    agent, order = await start(config), Net(0, gateway=False, kind="flat").plug(11, hostname="bad name\nx")
    await agent.plug(order)
    with wires(config, order) as (wire,):
        _, options = await asyncio.to_thread(ask_dhcp, wire, order)
    assert 3 not in options
    assert options[12] == b"host-10-71-0-11"
    assert "0.0.0.0/0" not in frames.classless_routes(options[121])


async def test_dhcp_learns_a_changed_address_and_gives_an_old_one_to_its_new_owner(lab: Lab, start: Starter) -> None:
    config, net = lab.host(), Net(0)
    agent = await start(config)
    first, keeper = net.plug(11), net.plug(20)
    for order in (keeper, first):
        await agent.plug(order)
    with wires(config, first) as (wire,):
        assert (await asyncio.to_thread(ask_dhcp, wire, first))[0] == "10.71.0.11"
        moved = msgspec.structs.replace(
            first, binding=msgspec.structs.replace(first.binding, fixed_ips=net.plug(12).binding.fixed_ips)
        )
        await agent.plug(moved)
        assert (await asyncio.to_thread(ask_dhcp, wire, moved))[0] == "10.71.0.12"
    # Gone without giving its address back, as a guest goes that is deleted.
    await agent.unplug(unplug(moved))
    heir = net.plug(12)
    await agent.plug(heir)
    with wires(config, heir) as (wire,):
        assert (await asyncio.to_thread(ask_dhcp, wire, heir))[0] == "10.71.0.12"


async def test_a_guest_cannot_send_as_another(lab: Lab, start: Starter) -> None:
    config, net = lab.host(), Net(0)
    agent = await start(config)
    orders = [net.plug(11), net.plug(12)]
    for order in orders:
        await agent.plug(order)
    me, her = (order.binding for order in orders)
    own6, other6 = "fe80::f816:3eff:fe" + me.mac[9:11] + ":" + me.mac[12:14] + me.mac[15:], "fe80::1"

    def ether(payload: bytes, kind: int = 0x0800, source: str = me.mac) -> bytes:
        return frames.ethernet(source, her.mac, kind, payload)

    def udp(source: str, ports: tuple[int, int], mark: bytes) -> bytes:
        return frames.udp((source, ports[0]), ("10.71.0.12", ports[1]), mark)

    mark = b"spoofed-frame!"
    datagram = frames.udp(("0.0.0.0", 4000), ("0.0.0.0", 4000), mark)[20:]
    allowed = {
        "own address": ether(udp("10.71.0.11", (4000, 4000), mark)),
        "own IPv6": ether(frames.neighbour_advertisement(own6, own6, mark), 0x86DD),
        "own ARP": frames.arp(me.mac, me.mac, "10.71.0.11", "10.71.0.12") + mark,
        "ARP probe": frames.arp(me.mac, me.mac, "0.0.0.0", "10.71.0.11") + mark,
    }
    refused = {
        "MAC": ether(udp("10.71.0.11", (4000, 4000), mark), source=her.mac),
        "unknown MAC": ether(udp("10.71.0.11", (4000, 4000), mark), source="fa:16:3e:00:00:01"),
        "address": ether(udp("10.71.0.13", (4000, 4000), mark)),
        "gateway's address": ether(udp("10.71.0.1", (4000, 4000), mark)),
        "no address": ether(udp("0.0.0.0", (4000, 4000), mark)),
        "address behind a VLAN tag": ether(b"\x00\x05\x08\x00" + udp("10.71.0.13", (4000, 4000), mark), 0x8100),
        "own address behind a VLAN tag": ether(b"\x00\x05\x08\x00" + udp("10.71.0.11", (4000, 4000), mark), 0x8100),
        "ARP address": frames.arp(me.mac, me.mac, "10.71.0.1", "10.71.0.12") + mark,
        "ARP MAC": frames.arp(me.mac, her.mac, "10.71.0.11", "10.71.0.12") + mark,
        "DHCP server": ether(udp("10.71.0.11", (67, 68), mark)),
        "DHCP server from another port": ether(udp("10.71.0.11", (4000, 68), mark)),
        "IPv6 address": ether(frames.neighbour_advertisement(other6, own6, mark), 0x86DD),
        "IPv6 address in a datagram": ether(frames.ipv6(other6, own6, 17, datagram), 0x86DD),
        "neighbour": ether(frames.neighbour_advertisement(own6, other6, mark), 0x86DD),
        "router": ether(frames.icmpv6(own6, "ff02::1", 134, bytes(12) + b"\xfd\x02" + mark), 0x86DD),
        "other protocol": ether(mark, 0x88CC),
    }

    def try_all() -> tuple[set[str], set[str]]:
        with wires(config, *orders) as (wire, victim):
            heard = {name for name, frame in allowed.items() if wire.send_until(frame, lambda s: victim.hears(mark, s))}
            for frame in refused.values():
                wire.send(frame)
            # What came before this one would have been heard before it.
            fence = b"the-end-of-it!"
            wire.send(ether(udp("10.71.0.11", (4000, 4000), fence)))
            got: set[str] = set()
            while (passed := victim.find(lambda f: mark in f or fence in f)) is not None and fence not in passed:
                got |= {name for name, sent in refused.items() if passed[:60] == sent.ljust(60, b"\0")[:60]}
                got |= {"something"}
            assert passed is not None
            return heard, got

    heard, got = await asyncio.to_thread(try_all)
    assert heard == set(allowed)
    assert got == set()


async def test_without_port_security_a_guest_may_send_as_it_likes(lab: Lab, start: Starter) -> None:
    config, net = lab.host(), Net(0)
    agent = await start(config)
    orders = [net.plug(11, port_security=False), net.plug(12)]
    for order in orders:
        await agent.plug(order)
    packet = frames.udp(("10.71.0.77", 4000), ("10.71.0.12", 4000), b"free")

    def try_it() -> bool:
        with wires(config, *orders) as (wire, other):
            frame = frames.ethernet("fa:16:3e:00:00:01", orders[1].binding.mac, 0x0800, packet)
            return wire.send_until(frame, lambda seconds: other.hears(b"free", seconds))

    assert await asyncio.to_thread(try_it)


async def test_a_guest_does_not_reach_its_host(lab: Lab, start: Starter) -> None:
    config, order = lab.host(), Net(0).plug(11)
    agent = await start(config)
    await agent.plug(order)
    arp = frames.arp(order.binding.mac, order.binding.mac, "10.71.0.11", config.host.address)
    own = frames.arp(order.binding.mac, order.binding.mac, "10.71.0.11", "10.71.0.2")

    def answers() -> tuple[bool, bool]:
        def is_answer(frame: bytes) -> bool:
            return frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\x02"

        with wires(config, order) as (wire,):
            open_way = wire.send_until(own, lambda seconds: wire.find(is_answer, seconds))
            while wire.find(is_answer, 0.2):
                """An answer that came late is none to what follows."""
            wire.send(arp)
            return open_way, wire.find(is_answer, SILENCE_SECONDS) is not None

    assert await asyncio.to_thread(answers) == (True, False)
    # Nor does the host speak on its guests' networks by itself.
    assert {line.split()[1] for line in ip("-n", config.host.namespace or "", "-6", "-o", "addr").splitlines()} <= {
        "lo",
        "und",
    }


async def test_a_network_spans_hosts_and_two_networks_do_not_meet(lab: Lab, start: Starter) -> None:
    configs = [lab.host(), lab.host()]
    agents = [await start(config) for config in configs]
    one, two = Net(0), Net(1)
    here, there, stranger = one.plug(11), one.plug(12), two.plug(13)
    await agents[0].plug(here)
    await agents[1].plug(there)
    await agents[1].plug(stranger)
    guests = [lab.guest(configs[0], here), lab.guest(configs[1], there), lab.guest(configs[1], stranger)]
    assert await asyncio.to_thread(guests[0].pings, "10.71.0.12")
    assert not await asyncio.to_thread(guests[0].pings, "10.71.0.13", 1)
    # The DHCP port is the same everywhere, and each host's own answers.
    assert await asyncio.to_thread(guests[0].pings, "10.71.0.2")
    assert await asyncio.to_thread(guests[1].pings, "10.71.0.2")
    tunnel = agents[0]._data_plane._names.tunnel(one.segment.network_id)  # type: ignore[attr-defined]
    learned = ip("netns", "exec", configs[0].host.namespace or "", "bridge", "fdb", "show", "dev", tunnel)
    assert str(one.segment.dhcp_mac) not in learned
    assert there.binding.mac in learned


async def test_a_network_reaches_a_host_when_it_becomes_a_peer_and_not_before(lab: Lab, start: Starter) -> None:
    configs = [lab.host(), lab.host()]
    agents = [await start(config) for config in configs]
    net = Net(0)
    net.segment = msgspec.structs.replace(net.segment, peers=[])
    orders = [net.plug(11), net.plug(12)]
    for agent, order in zip(agents, orders, strict=True):
        await agent.plug(order)
    guests: list[Guest] = [lab.guest(config, order) for config, order in zip(configs, orders, strict=True)]
    assert not await asyncio.to_thread(guests[0].pings, "10.71.0.12", 1)
    for agent in agents:
        peers = ["172.31.0.1", "172.31.0.2"]
        await agent.update_peers(UpdatePeers(network_id=net.segment.network_id, peers=peers, peers_version=2))
    assert await asyncio.to_thread(guests[0].pings, "10.71.0.12")
    gone = UpdatePeers(network_id=net.segment.network_id, peers=[], peers_version=3)
    for agent in agents:
        await agent.update_peers(gone)
    assert not await asyncio.to_thread(guests[0].pings, "10.71.0.12", 1)


async def test_metadata_is_told_by_network_and_address_and_to_nobody_else(lab: Lab, start: Starter) -> None:
    config = lab.host()
    agent = await start(config)
    one, two = Net(0), Net(1)
    first, same_address, bare = one.plug(11), two.plug(11), one.plug(12, metadata=None)
    for order in (first, same_address, bare):
        await agent.plug(order)
    guests = [lab.guest(config, order) for order in (first, same_address, bare)]
    for guest, order in zip(guests, (first, same_address), strict=False):
        code, body = await asyncio.to_thread(guest.get, "/openstack/latest/meta_data.json")
        assert order.binding.metadata is not None
        assert (code, json.loads(body)) == (200, order.binding.metadata.meta_data)
    victim = first.binding.metadata
    assert victim is not None
    forged = f"X-Forwarded-For: 10.71.0.11\r\nX-Instance-ID: {victim.server_id}\r\n"
    assert (await asyncio.to_thread(guests[2].get, "/openstack/latest/meta_data.json", forged))[0] == 404
    assert (await asyncio.to_thread(guests[0].get, "/latest/meta-data/local-ipv4"))[1] == b"10.71.0.11"

"""What is on a host and what stays there: repeated orders, restarts, crashes, removal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from component.network_agent.orders import Net, unplug
from skybus.config import Config
from skybus.errors import CommandRefused
from skybus.messages.network import NetworkReport, PlugPort
from skybus_network import purge
from skybus_network.agent import NetworkAgent
from skybus_network.linuxbridge.link_list import Link, Tunnel
from skybus_network.linuxbridge.links import Links
from system.network_agent.lab import BOUND_SECONDS, VXLAN_PORT, Lab, Starter, ip

pytestmark = pytest.mark.system


def namespaces(lab: Lab) -> list[str]:
    """The DHCP namespaces of this lab."""
    return sorted(name for name in os.listdir("/run/netns") if name.startswith(f"{lab.prefix}dhcp-"))


def interfaces(config: Config) -> str:
    """Interfaces of the host, one to a line: name, then what shows when one was re-made or moved."""
    links = json.loads(ip("-n", config.host.namespace or "", "-j", "link"))
    facts = ("ifname", "ifindex", "address", "mtu", "master", "ifalias")
    return "\n".join(
        " ".join(str(link.get(fact)) for fact in facts) for link in links if link["ifname"] not in ("und", "lo")
    )


def dnsmasq_pids(lab: Lab) -> list[int]:
    """The DHCP servers that run in the lab's namespaces."""
    return [int(pid) for name in namespaces(lab) for pid in ip("netns", "pids", name).split() if is_dnsmasq(pid)]


def is_dnsmasq(pid: str) -> bool:
    """Whether that process is a server which has not ended, reaped or not."""
    try:
        name, state = Path(f"/proc/{pid}/stat").read_text().split()[1:3]
        return (name, state == "Z") == ("(dnsmasq)", False)
    except OSError:
        return False


def rules(config: Config) -> str:
    """The host's nft rules, without the order in which the kernel happens to list a set."""
    argv = ["ip", "netns", "exec", config.host.namespace or "", "nft", "list", "ruleset"]
    text = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=20).stdout
    return "\n".join(" ".join(sorted(line.replace(",", "").split())) for line in text.splitlines())


async def wired(agent: NetworkAgent) -> set[str]:
    """The ports that the agent reports."""
    found = await agent.report(started=False)
    assert isinstance(found, NetworkReport)
    return {port.port_id for port in found.ports}


async def soon(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits until `condition` holds."""
    async with asyncio.timeout(BOUND_SECONDS):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_the_same_order_again_changes_nothing(lab: Lab, start: Starter) -> None:
    config, order = lab.host(), Net(0).plug(11)
    agent = await start(config)
    await agent.plug(order)
    before = (interfaces(config), dnsmasq_pids(lab), rules(config))
    await asyncio.gather(*(agent.plug(order) for _ in range(3)))
    assert (interfaces(config), dnsmasq_pids(lab), rules(config)) == before


async def test_a_new_agent_takes_over_and_traffic_never_stops(lab: Lab, start: Starter) -> None:
    config, net = lab.host(), Net(0)
    agent = await start(config)
    orders = [net.plug(11), net.plug(12)]
    for order in orders:
        await agent.plug(order)
    guests = [lab.guest(config, order) for order in orders]
    assert await asyncio.to_thread(guests[0].pings, "10.71.0.12")
    before = (interfaces(config), dnsmasq_pids(lab), rules(config))
    await agent.close()
    assert await asyncio.to_thread(guests[0].pings, "10.71.0.12")
    assert await asyncio.to_thread(guests[0].pings, "10.71.0.2")
    second = await start(config)
    assert (interfaces(config), dnsmasq_pids(lab), rules(config)) == before
    assert len(before[1]) == 1
    assert (await asyncio.to_thread(guests[0].get, "/latest/meta-data/hostname"))[1] == b"vm11"
    assert await wired(second) == {order.port_id for order in orders}


async def test_the_kernels_list_is_read_as_ip_reads_it(lab: Lab, start: Starter) -> None:
    config = lab.host()
    agent, net = await start(config), Net(0)
    await agent.plug(net.plug(11))
    host = config.host.namespace or ""
    async with await Links.open(host) as links:
        read = await links.dump()
    shown = {link["ifname"]: link for link in json.loads(ip("-n", host, "-j", "-d", "link"))}
    assert len(read) == len(shown) >= 6
    for name, link in read.items():
        seen = shown[name]
        assert (link.index, link.mac, link.mtu) == (seen["ifindex"], seen["address"], seen["mtu"])
        assert (link.kind, link.alias) == (seen.get("linkinfo", {}).get("info_kind"), seen.get("ifalias"))
        assert (read_name(read, link.master), link.up) == (seen.get("master"), "UP" in seen["flags"])
        assert link.carrier == ("LOWER_UP" in seen["flags"])
    tunnel = next(link.tunnel for link in read.values() if link.kind == "vxlan")
    assert tunnel == Tunnel(vni=net.vni, port=VXLAN_PORT, local=config.host.address)


def read_name(links: dict[str, Link], index: int | None) -> str | None:
    return next((link.name for link in links.values() if link.index == index), None)


async def test_the_last_unplug_leaves_nothing(lab: Lab, start: Starter) -> None:
    config, nets = lab.host(), [Net(0), Net(1, kind="flat")]
    agent = await start(config)
    orders: list[PlugPort] = [net.plug(last) for net in nets for last in (11, 12)]
    await asyncio.gather(*(agent.plug(order) for order in orders))
    assert len(namespaces(lab)) == len(dnsmasq_pids(lab)) == 2
    pids = dnsmasq_pids(lab)
    await asyncio.gather(*(agent.unplug(unplug(order)) for order in orders))
    await asyncio.gather(*(agent.unplug(unplug(order)) for order in orders))
    assert interfaces(config) == rules(config) == ""
    assert namespaces(lab) == []
    assert not any(is_dnsmasq(str(pid)) for pid in pids)
    assert [path for path in config.host.state_dir.rglob("*") if path.is_file()] == []
    assert not any((config.host.state_dir / "network" / "networks").iterdir())


async def test_after_a_reboot_everything_is_made_again_without_asking(lab: Lab, start: Starter) -> None:
    config, net = lab.host(), Net(0)
    agent = await start(config)
    orders = [net.plug(11), net.plug(12)]
    for order in orders:
        await agent.plug(order)
    await agent.close()
    for pid in dnsmasq_pids(lab):
        os.kill(pid, signal.SIGKILL)
    for name in namespaces(lab):
        ip("netns", "delete", name)
    for line in interfaces(config).splitlines():
        name = line.split()[0]
        subprocess.run(["ip", "-n", config.host.namespace or "", "link", "del", name], check=False, timeout=20)
    assert interfaces(config) == ""
    second = await start(config)
    assert await wired(second) == {order.port_id for order in orders}
    guests = [lab.guest(config, order) for order in orders]
    assert await asyncio.to_thread(guests[0].pings, "10.71.0.12")
    assert (await asyncio.to_thread(guests[1].get, "/latest/meta-data/hostname"))[1] == b"vm12"
    assert len(dnsmasq_pids(lab)) == 1


async def test_what_dies_or_is_removed_comes_back(lab: Lab, start: Starter) -> None:
    config, order = lab.host(), Net(0).plug(11)
    agent = await start(config)
    await agent.plug(order)
    (pid,) = dnsmasq_pids(lab)
    os.kill(pid, signal.SIGKILL)
    ip("-n", config.host.namespace or "", "link", "del", order.binding.tap)
    subprocess.run(
        ["ip", "netns", "exec", config.host.namespace or "", "nft", "flush", "ruleset"], check=True, timeout=20
    )

    async def whole() -> bool:
        here = await wired(agent)
        return len(dnsmasq_pids(lab)) == 1 and here == {order.port_id} and order.binding.mac in rules(config)

    await soon(whole)


async def test_a_start_removes_our_unknown_things_and_nobody_elses(lab: Lab, start: Starter) -> None:
    config, other = lab.host(), lab.host()
    agent, neighbour = await start(config), await start(other)
    kept, order, foreign = Net(0).plug(11), Net(1).plug(12), Net(0).plug(13)
    await agent.plug(kept)
    await agent.plug(order)
    await neighbour.plug(foreign)
    host = config.host.namespace or ""
    ip("-n", host, "link", "add", f"{lab.prefix}bforeign", "type", "bridge")
    ip("-n", host, "tuntap", "add", "tapforeign", "mode", "tap")
    await agent.close()
    folder = config.host.state_dir / "network" / "networks" / order.segment.network_id
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    second = await start(config)
    left = interfaces(config)
    assert order.binding.tap not in left
    assert order.segment.network_id not in left
    assert not any(order.segment.network_id in name for name in namespaces(lab))
    assert f"{lab.prefix}bforeign" in left
    assert "tapforeign" in left
    assert await wired(second) == {kept.port_id}
    assert await wired(neighbour) == {foreign.port_id}
    assert len(dnsmasq_pids(lab)) == 2


async def test_an_unknown_tap_in_use_is_kept_and_silenced_until_we_are_told_of_it(lab: Lab, start: Starter) -> None:
    config, net = lab.host(), Net(0)
    agent = await start(config)
    orders = [net.plug(11), net.plug(12)]
    for order in orders:
        await agent.plug(order)
    guests = [lab.guest(config, order) for order in orders]
    assert await asyncio.to_thread(guests[0].pings, "10.71.0.12")
    await agent.close()
    for path in config.host.state_dir.rglob(f"{orders[0].port_id}*"):
        path.unlink()
    second = await start(config)
    assert orders[0].binding.tap in interfaces(config)
    assert not await asyncio.to_thread(guests[0].pings, "10.71.0.12", 1)
    await second.plug(orders[0])
    assert await asyncio.to_thread(guests[0].pings, "10.71.0.12")


async def test_a_purge_leaves_nothing_of_this_host_and_all_of_another(lab: Lab, start: Starter) -> None:
    config, other = lab.host(), lab.host()
    agent, neighbour = await start(config), await start(other)
    order, foreign = Net(0).plug(11), Net(0).plug(12)
    await agent.plug(order)
    await neighbour.plug(foreign)
    await agent.close()
    await purge(config, config.host.name)
    await purge(config, config.host.name)
    assert interfaces(config) == rules(config) == ""
    assert len(namespaces(lab)) == len(dnsmasq_pids(lab)) == 1
    assert await wired(neighbour) == {foreign.port_id}
    assert [path for path in config.host.state_dir.rglob("*") if path.is_file()] == []


async def test_an_interface_that_is_no_tap_of_ours_is_refused_and_left_alone(lab: Lab, start: Starter) -> None:
    config = lab.host()
    agent, order = await start(config), Net(0).plug(11, tap="und")
    with pytest.raises(CommandRefused):
        await agent.plug(order)
    await agent.unplug(unplug(order))
    assert "und@" in ip("-n", config.host.namespace or "", "-o", "link")
    assert namespaces(lab) == []

"""What hosts report by themselves: heartbeats with what is on them, and changes that they noticed.

A report is taken in, in one transaction, and what it shows is compared with what should be: a reconciler a kind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from skybus.bus.message import AgentAlive, Report, ReportAll
from skybus.compute.hosts import host_heard, hosts_alive
from skybus.ids import new_id
from skybus.messages.compute import GuestChanged, HypervisorReport
from skybus.messages.network import NetworkReport
from skybus.messages.volume import PoolReport
from skybus.network import agents as network_agents
from skybus.placement.inventory import Stock, provider_heard, providers_alive
from skybus.store import Tx
from skybus.volume.pools import pool_heard, pools_alive
from skybus_conductor.cloud import Cloud
from skybus_conductor.host_reports import report_keep, reports_hold
from skybus_conductor.peers import tell_peers
from skybus_conductor.reconcilers import exports, guests, ports

ReportHandler = Callable[[Tx, Any], Awaitable[None]]


async def hypervisor_reported(cloud: Cloud, tx: Tx, report: HypervisorReport) -> None:
    """A compute host is there, has this, and these guests are on it."""
    await report_keep(tx, "compute", report)
    await host_heard(tx, report)
    await tell_peers(tx, await network_agents.host_heard(tx, report.host, report.address))
    amounts = {"VCPU": report.vcpus, "MEMORY_MB": report.memory_mib, "DISK_GB": report.disk_gib}
    stock = {
        name: Stock(total=amount, allocation_ratio=cloud.allocation_ratios.get(name, 1.0))
        for name, amount in amounts.items()
    }
    await provider_heard(tx, "compute", report.host, stock)
    await guests.reconcile(tx, report)


async def guest_changed(tx: Tx, report: GuestChanged) -> None:
    """A guest powered off, crashed or was started behind our back."""
    await guests.follow(tx, report.server_id, report.host, report.power_state)


async def network_reported(cloud: Cloud, tx: Tx, report: NetworkReport) -> None:
    """A network agent is there, and these ports are wired on its host."""
    await report_keep(tx, "network", report)
    await network_agents.agent_heard(tx, report)
    await ports.reconcile(cloud, tx, report)


async def pool_reported(tx: Tx, report: PoolReport) -> None:
    """A storage host is there, with this much room and these volumes and exports."""
    await report_keep(tx, "volume", report)
    await pool_heard(tx, report)
    await provider_heard(tx, "volume", report.host, {"DISK_GB": Stock(total=report.capacity_gib)})
    await exports.reconcile(tx, report)


async def agents_alive(tx: Tx, beats: Sequence[AgentAlive]) -> None:
    """Agents are there, and have nothing new to tell. Those of hosts that are not known are asked for everything."""
    # In the order in which a full report takes the same rows, or the two would wait for each other.
    await reports_hold(tx, [(beat.kind, beat.host, beat.taken_at) for beat in beats if beat.unchanged])
    of = {kind: [beat for beat in beats if beat.kind == kind] for kind in ("compute", "network", "volume")}
    hosts, heard = set[str](), set[str]()
    if of["compute"]:
        hosts = await hosts_alive(tx, [(beat.host, beat.taken_at) for beat in of["compute"]])
    if of["network"]:
        heard = await network_agents.agents_alive(tx, [beat.host for beat in of["network"]])
    if of["volume"]:
        await pools_alive(tx, [beat.host for beat in of["volume"]])
    known = await providers_alive(tx, [(beat.kind, beat.host) for beat in beats])
    known -= {("compute", beat.host) for beat in of["compute"] if beat.host not in hosts}
    known |= {("network", host) for host in heard}
    for kind, host in sorted({(str(beat.kind), beat.host) for beat in beats} - known):
        tx.send(f"{kind}.{host}", ReportAll(), command_id=new_id(), operation_id="")


def reports(cloud: Cloud) -> Mapping[type[Report], ReportHandler]:
    """What to do with each kind of report."""
    return {
        HypervisorReport: partial(hypervisor_reported, cloud),
        GuestChanged: guest_changed,
        NetworkReport: partial(network_reported, cloud),
        PoolReport: pool_reported,
    }

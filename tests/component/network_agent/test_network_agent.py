"""The agent's orders and its picture, over the simulated data plane."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from component.network_agent.orders import Net, unplug, uuid_like
from skybus.bus.message import Report
from skybus.config import Config, Host, Network
from skybus.errors import CommandRefused, CommandTroubled
from skybus.messages.network import NetworkReport, PlugPort, UpdatePeers
from skybus_network import build
from skybus_network.agent import NetworkAgent
from skybus_network.dataplane import Survey
from skybus_network.locks import Locks
from skybus_network.picture import KnownNetwork
from skybus_network.picture_folder import PictureFolder
from skybus_network.simulated_driver import SimulatedDataPlane


async def tell(report: Report) -> None:
    """Nobody listens."""


@pytest.fixture
def plane() -> SimulatedDataPlane:
    return SimulatedDataPlane()


@pytest.fixture
async def agent(plane: SimulatedDataPlane, tmp_path: Path) -> NetworkAgent:
    return await started(plane, tmp_path)


async def started(plane: SimulatedDataPlane, folder: Path) -> NetworkAgent:
    """An agent that has `folder` as its memory."""
    agent = NetworkAgent("h1", plane, PictureFolder(folder))
    await agent.start(tell)
    return agent


async def report(agent: NetworkAgent) -> NetworkReport:
    found = await agent.report(started=False)
    assert isinstance(found, NetworkReport)
    return found


async def test_a_port_plugged_twice_is_there_once_and_unplugged_twice_is_gone(agent: NetworkAgent) -> None:
    order = Net(0).plug(11)
    assert await agent.plug(order) == await agent.plug(order)
    assert [(port.port_id, port.network_id) for port in (await report(agent)).ports] == [
        (order.port_id, order.segment.network_id)
    ]
    assert await agent.unplug(unplug(order)) == await agent.unplug(unplug(order))
    found = await report(agent)
    assert (found.ports, found.networks) == ([], [])


async def test_the_network_goes_with_its_last_port(agent: NetworkAgent, plane: SimulatedDataPlane) -> None:
    net = Net(0)
    first, second = net.plug(11), net.plug(12)
    await agent.plug(first)
    await agent.plug(second)
    await agent.unplug(unplug(first))
    assert plane.made == {net.segment.network_id: {second.port_id: second.binding.tap}}
    await agent.unplug(unplug(second))
    assert plane.made == {}


async def test_nothing_is_left_on_disk_after_the_last_port(agent: NetworkAgent, tmp_path: Path) -> None:
    order = Net(0).plug(11)
    await agent.plug(order)
    await agent.unplug(unplug(order))
    assert list(tmp_path.iterdir()) == []


async def test_a_port_with_another_tap_loses_the_old_one(agent: NetworkAgent, plane: SimulatedDataPlane) -> None:
    order = Net(0).plug(11)
    await agent.plug(order)
    moved = msgspec.structs.replace(order, binding=msgspec.structs.replace(order.binding, tap="tapother"))
    await agent.plug(moved)
    assert plane.made[order.segment.network_id] == {order.port_id: "tapother"}


async def test_a_tap_belongs_to_one_port(agent: NetworkAgent) -> None:
    net = Net(0)
    order = net.plug(11)
    await agent.plug(order)
    with pytest.raises(CommandRefused, match="belongs to port"):
        await agent.plug(net.plug(12, tap=order.binding.tap))


async def test_another_agent_remembers_what_the_first_was_told(tmp_path: Path) -> None:
    order = Net(0).plug(11)
    await (await started(SimulatedDataPlane(), tmp_path)).plug(order)
    plane = SimulatedDataPlane()
    second = await started(plane, tmp_path)
    assert plane.made == {order.segment.network_id: {order.port_id: order.binding.tap}}
    assert second._picture.networks[order.segment.network_id].ports == {order.port_id: order.binding}


async def test_a_damaged_file_costs_one_port_and_is_kept_for_the_operator(tmp_path: Path) -> None:
    net = Net(0)
    orders = [net.plug(11), net.plug(12)]
    agent = await started(SimulatedDataPlane(), tmp_path)
    for order in orders:
        await agent.plug(order)
    damaged = next(tmp_path.glob(f"*/{orders[0].port_id}*"))
    damaged.write_bytes(damaged.read_bytes()[:50])
    after = await started(SimulatedDataPlane(), tmp_path)
    assert [port.port_id for port in (await report(after)).ports] == [orders[1].port_id]
    assert [path.name for path in tmp_path.glob("*/*.bad")] == [damaged.name + ".bad"]


async def test_only_its_owner_reads_what_a_host_was_told(agent: NetworkAgent, tmp_path: Path) -> None:
    await agent.plug(Net(0).plug(11))
    assert {path.stat().st_mode & 0o077 for path in tmp_path.rglob("*")} == {0}


async def test_older_peers_are_ignored_wherever_they_come_from(agent: NetworkAgent) -> None:
    net = Net(0)
    network_id = net.segment.network_id
    await agent.plug(net.plug(11))
    newer = UpdatePeers(network_id=network_id, peers=["172.31.0.7"], peers_version=5)
    assert (await agent.update_peers(newer)).peers_version == 5
    older = UpdatePeers(network_id=network_id, peers=[], peers_version=4)
    assert (await agent.update_peers(older)).peers_version == 5
    await agent.plug(net.plug(12))
    assert agent._picture.networks[network_id].segment.peers == ["172.31.0.7"]


async def test_peers_of_a_network_without_ports_here_are_ignored(agent: NetworkAgent, tmp_path: Path) -> None:
    await agent.update_peers(UpdatePeers(network_id=uuid_like(), peers=["172.31.0.7"], peers_version=5))
    assert (await report(agent)).networks == []


class Stubborn(SimulatedDataPlane):
    """Fails with `error` until told otherwise."""

    __slots__ = ("error",)

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error = error

    async def apply(self, network: KnownNetwork) -> None:
        if self.error is not None and network.ports:
            raise self.error
        await super().apply(network)


async def test_a_refused_port_is_forgotten_and_a_troubled_one_is_tried_again(tmp_path: Path) -> None:
    order = Net(0).plug(11)
    plane = Stubborn(CommandRefused("never"))
    agent = await started(plane, tmp_path)
    with pytest.raises(CommandRefused):
        await agent.plug(order)
    assert list(tmp_path.iterdir()) == []
    plane.error = CommandTroubled("not now")
    with pytest.raises(CommandTroubled):
        await agent.plug(order)
    again = SimulatedDataPlane()
    await started(again, tmp_path)
    assert again.made == {order.segment.network_id: {order.port_id: order.binding.tap}}


async def test_an_agent_starts_though_a_network_cannot_be_made(tmp_path: Path) -> None:
    order = Net(0).plug(11)
    await (await started(SimulatedDataPlane(), tmp_path)).plug(order)
    plane = Stubborn(CommandTroubled("no such device"))
    agent = await started(plane, tmp_path)
    assert (await report(agent)).ports == []
    assert (await report(agent)).networks == [order.segment.network_id]


async def test_plugging_and_unplugging_at_the_same_time_ends_as_the_last_order_says(agent: NetworkAgent) -> None:
    net = Net(0)
    orders: list[PlugPort] = [net.plug(last) for last in range(10, 20)]
    await asyncio.gather(*(agent.plug(order) for order in orders))
    await asyncio.gather(*(agent.unplug(unplug(order)) for order in orders[:9]), agent.plug(orders[9]))
    assert [port.port_id for port in (await report(agent)).ports] == [orders[9].port_id]
    await agent.unplug(unplug(orders[9]))
    assert (await report(agent)).networks == []


async def test_locks_let_in_who_asked_first_and_forget_names() -> None:
    locks, order = Locks(), list[int]()

    async def enter(number: int) -> None:
        async with locks.of("n"):
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*map(enter, range(20)))
    assert order == list(range(20))
    assert not locks.busy("n")


async def test_a_simulated_host_is_built_from_the_configuration() -> None:
    config = Config(host=Host(name="sim"), network=Network(driver="simulated"))
    agent = build(config, "sim-0007")
    await agent.start(tell)
    answer = await agent.handlers[PlugPort](Net(0).plug(11))
    assert answer.TYPE == "skybus.network.answer.port-plugged.v1"
    assert (agent.kind, agent.host) == ("network", "sim-0007")
    assert len((await report(agent)).ports) == 1  # type: ignore[arg-type]
    await agent.close()


class Blind(SimulatedDataPlane):
    """Cannot look, the first time."""

    __slots__ = ("looks",)

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    async def survey(self) -> Survey:
        self.looks += 1
        if self.looks == 1:
            raise ValueError("a bug of ours")
        if self.looks == 2:
            raise CommandTroubled("the kernel is busy")
        return Survey(ailing=frozenset(self._networks.keys() - self.made.keys()))


async def test_tending_survives_failures_and_mends_what_went_missing(tmp_path: Path) -> None:
    order, plane = Net(0).plug(11), Blind()
    agent = NetworkAgent("h1", plane, PictureFolder(tmp_path), tend_seconds=0.01)
    await agent.start(tell)
    await agent.plug(order)
    plane.made.clear()
    async with asyncio.timeout(5):
        while order.segment.network_id not in plane.made:
            await asyncio.sleep(0.01)
    assert plane.looks >= 3
    await agent.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "network-tend"]

"""What the compute agent does with its orders, on the simulated driver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from component.compute_agent.orders import new_id, spawn_order, volume
from skybus.bus.agent import Agent
from skybus.bus.message import Report
from skybus.config import Compute, Config, Host
from skybus.errors import CommandRefused, CommandTroubled
from skybus.messages.compute import (
    DestroyGuest,
    GuestChanged,
    PlugVolume,
    ReadConsole,
    RebootGuest,
    SpawnGuest,
    StartGuest,
    StopGuest,
    UnplugVolume,
)
from skybus_compute import build
from skybus_compute.agent import ComputeAgent, last_lines
from skybus_compute.simulated_driver import SimulatedHypervisor


class Told:
    """The conductor's ear."""

    def __init__(self) -> None:
        self.reports: asyncio.Queue[Report] = asyncio.Queue()

    async def tell(self, report: Report) -> None:
        self.reports.put_nowait(report)

    async def next_change(self) -> GuestChanged:
        report = await asyncio.wait_for(self.reports.get(), 5)
        assert isinstance(report, GuestChanged)
        return report


def simulated(host: str = "host-1", seconds: float = 0.0) -> tuple[ComputeAgent, SimulatedHypervisor]:
    config = Config(host=Host(address="10.0.0.7"), compute=Compute(driver="simulated", simulated_seconds=seconds))
    agent = build(config, host)
    assert isinstance(agent.hypervisor, SimulatedHypervisor)
    return agent, agent.hypervisor


@pytest.fixture
async def told() -> Told:
    return Told()


@pytest.fixture
async def agent(told: Told) -> AsyncIterator[ComputeAgent]:
    agent, _ = simulated()
    await agent.start(told.tell)
    yield agent
    await agent.close()


@pytest.fixture
def driver(agent: ComputeAgent) -> SimulatedHypervisor:
    assert isinstance(agent.hypervisor, SimulatedHypervisor)
    return agent.hypervisor


def test_the_agent_is_what_the_bus_expects(agent: ComputeAgent) -> None:
    expected: Agent = agent
    assert expected.kind == "compute"
    assert all(command.ANSWER.TYPE for command in expected.handlers)


async def test_every_order_carried_out_twice_changes_nothing_the_second_time(
    agent: ComputeAgent, driver: SimulatedHypervisor
) -> None:
    order, disk = spawn_order(), volume()
    server_id = order.server_id
    orders = [
        order,
        PlugVolume(server_id=server_id, volume=disk),
        RebootGuest(server_id=server_id, reboot_id=new_id(), hard=False),
        StopGuest(server_id=server_id),
        StartGuest(server_id=server_id),
        UnplugVolume(server_id=server_id, attachment_id=disk.attachment_id, volume_id=disk.volume_id),
    ]
    for each in orders:
        handler = agent.handlers[type(each)]
        first = await handler(each)
        boots, disks = driver.boots_of(server_id), driver.volumes_of(server_id)
        assert await handler(each) == first
        assert (driver.boots_of(server_id), driver.volumes_of(server_id)) == (boots, disks)
        assert isinstance(first, type(each).ANSWER)
    for _ in range(2):
        await agent.destroy(DestroyGuest(server_id=server_id))
    assert (await agent.report(started=False)).guests == []


async def test_a_late_copy_of_a_spawn_does_not_start_a_stopped_guest(agent: ComputeAgent) -> None:
    order = spawn_order()
    await agent.spawn(order)
    await agent.stop(StopGuest(server_id=order.server_id))
    assert (await agent.spawn(order)).power_state == "shutdown"


@pytest.mark.parametrize("method", ["fetch", "define", "power_on", "note"])
async def test_a_spawn_that_fails_in_any_step_succeeds_when_asked_again(
    agent: ComputeAgent, driver: SimulatedHypervisor, method: str
) -> None:
    order = spawn_order()
    driver.failures.fail_next(method, CommandTroubled("it did not work"))
    with pytest.raises(CommandTroubled):
        await agent.spawn(order)
    assert (await agent.spawn(order)).power_state == "running"
    assert driver.boots_of(order.server_id) == 1


async def test_a_reboot_that_dies_before_the_start_is_finished_by_its_copy(
    agent: ComputeAgent, driver: SimulatedHypervisor
) -> None:
    order = spawn_order()
    await agent.spawn(order)
    reboot = RebootGuest(server_id=order.server_id, reboot_id=new_id(), hard=True)
    driver.failures.fail_next("power_on", CommandTroubled("it did not work"))
    with pytest.raises(CommandTroubled):
        await agent.reboot(reboot)
    assert (await agent.reboot(reboot)).power_state == "running"
    assert driver.boots_of(order.server_id) == 2


async def test_orders_for_one_server_wait_for_each_other_and_those_for_others_do_not() -> None:
    agent, driver = simulated(seconds=0.05)
    orders = [spawn_order() for _ in range(20)]
    started = asyncio.get_running_loop().time()
    await asyncio.gather(*(agent.spawn(order) for order in orders for _ in range(3)))
    assert asyncio.get_running_loop().time() - started < 20 * 0.05
    assert all(driver.boots_of(order.server_id) == 1 for order in orders)
    assert agent._turns.busy == 0


async def test_a_delete_does_not_wait_for_an_image_that_is_on_its_way() -> None:
    class Waiting(SimulatedHypervisor):
        async def fetch(self, order: SpawnGuest) -> None:
            fetching.set()
            await asyncio.Event().wait()

    fetching = asyncio.Event()
    agent = ComputeAgent("host-1", "127.0.0.1", Waiting(Compute(driver="simulated")))
    order = spawn_order()
    spawning = asyncio.create_task(agent.spawn(order))
    await asyncio.wait_for(fetching.wait(), 5)
    await asyncio.wait_for(agent.destroy(DestroyGuest(server_id=order.server_id)), 5)
    with pytest.raises(CommandTroubled) as troubled:
        await spawning
    assert troubled.value.code == "compute.interrupted"


async def test_what_a_guest_does_by_itself_is_told_and_what_it_was_ordered_to_do_is_not(
    agent: ComputeAgent, driver: SimulatedHypervisor, told: Told
) -> None:
    order = spawn_order()
    await agent.spawn(order)
    await agent.stop(StopGuest(server_id=order.server_id))
    await agent.power_on(StartGuest(server_id=order.server_id))
    driver.happen(order.server_id, "running")
    driver.happen(order.server_id, "crashed")
    change = await told.next_change()
    assert (change.server_id, change.power_state, change.host) == (order.server_id, "crashed", "host-1")
    driver.happen(order.server_id, "absent")
    assert (await told.next_change()).power_state == "absent"
    assert told.reports.empty()


async def test_a_change_that_nobody_noticed_is_told_after_the_next_heartbeat(
    agent: ComputeAgent, driver: SimulatedHypervisor, told: Told
) -> None:
    order = spawn_order()
    await agent.spawn(order)
    await driver.power_off(order.server_id)  # behind the agent's back
    await agent.report(started=False)
    assert (await told.next_change()).power_state == "shutdown"


async def test_the_heartbeat_tells_what_the_host_has(agent: ComputeAgent) -> None:
    order = spawn_order()
    await agent.spawn(order)
    report = await agent.report(started=True)
    assert (report.started, report.address, report.vcpus, report.memory_mib) == (True, "10.0.0.7", 64, 262_144)
    assert [(guest.server_id, guest.power_state) for guest in report.guests] == [(order.server_id, "running")]


async def test_the_console_shows_a_login_prompt_while_the_guest_runs(agent: ComputeAgent) -> None:
    order = spawn_order()
    await agent.spawn(order)
    text = (await agent.read_console(ReadConsole(server_id=order.server_id, lines=1))).text
    assert text == "simulated login: "


async def test_orders_for_a_guest_that_is_not_there_are_refused(agent: ComputeAgent) -> None:
    server_id = new_id()
    for order in (
        StartGuest(server_id=server_id),
        StopGuest(server_id=server_id),
        RebootGuest(server_id=server_id, reboot_id=new_id(), hard=True),
        PlugVolume(server_id=server_id, volume=volume()),
        ReadConsole(server_id=server_id),
    ):
        with pytest.raises(CommandRefused) as refused:
            await agent.handlers[type(order)](order)
        assert refused.value.code == "compute.no-guest"
    await agent.unplug_volume(UnplugVolume(server_id=server_id, attachment_id=new_id(), volume_id=new_id()))


@pytest.mark.parametrize("server_id", ["", "../../etc", "x" * 10_000, new_id().upper()])
async def test_what_is_no_server_id_is_refused(agent: ComputeAgent, server_id: str) -> None:
    with pytest.raises(CommandRefused):
        await agent.destroy(DestroyGuest(server_id=server_id))


async def test_a_device_name_is_given_once(agent: ComputeAgent) -> None:
    order = spawn_order()
    await agent.spawn(order)
    await agent.plug_volume(PlugVolume(server_id=order.server_id, volume=volume()))
    for device in ("/dev/vdb", "/dev/vda", "/dev/sda", "vdc", "/dev/vd/../x"):
        with pytest.raises(CommandRefused):
            await agent.plug_volume(PlugVolume(server_id=order.server_id, volume=volume(device=device)))


def test_a_process_can_stand_for_a_thousand_hosts() -> None:
    agents = [simulated(f"host-{number}")[0] for number in range(1000)]
    assert len({agent.host for agent in agents}) == 1000


@pytest.mark.parametrize(
    ("lines", "expected"), [(None, "a\nb\nc"), (-1, "a\nb\nc"), (0, ""), (2, "b\nc"), (9, "a\nb\nc")]
)
def test_the_console_is_cut_to_the_lines_that_were_asked_for(lines: int | None, expected: str) -> None:
    assert last_lines("a\nb\nc", lines) == expected

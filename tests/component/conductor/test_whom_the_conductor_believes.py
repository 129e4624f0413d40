"""A host is not trusted: the conductor takes from it what is the host's own to say, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from running import Running, running_workers

from skybus.bus.envelope import Envelope, seal
from skybus.bus.message import Answer, Command
from skybus.errors import CloudError
from skybus.ids import new_id
from skybus.messages.compute import GuestChanged, GuestSeen, GuestSpawned, HypervisorReport, SpawnGuest
from skybus.messages.network import NetworkReport, PortSeen
from skybus.messages.operations import BeginOperation, InterruptOperation
from skybus.messages.placement import Placed
from skybus.messages.volume import ExportSeen, PoolReport
from skybus.store import Store
from support.small_cloud import Carry, SmallCloud, _delivery, small_cloud

LATER = datetime(2090, 1, 1, tzinfo=UTC)


@pytest.fixture
async def workers(store: Store, tmp_path: Path) -> AsyncIterator[Running]:
    async with running_workers(store, tmp_path) as running:
        yield running


def hypervisor(host: str, **more: Any) -> HypervisorReport:
    fields = {"vcpus": 7777, "memory_mib": 1, "disk_gib": 1, **more}
    return HypervisorReport(
        host=host, taken_at=LATER, started=False, hypervisor_type="QEMU", hypervisor_version=1, address="::1", **fields
    )


async def vcpus(workers: Running, host: str) -> int:
    """What the database thinks of a host."""
    value = await workers.store.fetchval(
        "SELECT total FROM placement.inventory WHERE kind = 'compute' AND host = $1 AND resource_class = 'VCPU'", host
    )
    return int(value or 0)


async def test_a_host_reports_for_itself(workers: Running) -> None:
    await workers.tell(hypervisor("h1"), source="compute.h1")

    async def heard() -> bool:
        return await vcpus(workers, "h1") == 7777

    await workers.until(heard)
    taken = await workers.store.fetchval(
        "SELECT taken_at FROM conductor.host_report WHERE kind = 'compute' AND host = 'h1'"
    )
    assert taken == LATER


@pytest.mark.parametrize(
    ("user", "source", "host"),
    [
        ("compute.h1", "compute.h1", "h2"),  # its own name, another host's report
        ("compute.h1", "compute.h2", "h2"),  # another's name, which the broker's user-id gives away
        ("compute.h1", "skybus", "h2"),
        ("compute.h1", "conductor", "h2"),
        ("", "compute.h2", "h2"),  # no account at all
        ("compute.h1", "", "h2"),
        ("compute.h1", "compute.h1.h2", "h2"),
    ],
)
async def test_a_report_in_another_hosts_name_is_refused(workers: Running, user: str, source: str, host: str) -> None:
    """Security: design section 1, promise 5."""
    before = await vcpus(workers, "h2")
    message_id = await workers.tell(hypervisor(host), source=source, user=user or "nobody")
    [row] = await workers.dead()
    assert row["id"] == message_id
    assert await vcpus(workers, "h2") == before
    await test_a_host_reports_for_itself(workers)


async def test_a_change_of_another_hosts_guest_is_refused(workers: Running) -> None:
    changed = GuestChanged(host="h2", server_id=new_id(), power_state="crashed", seen_at=LATER)
    await workers.tell(changed, source="compute.h1")
    await workers.dead()


@pytest.mark.parametrize(
    ("source", "report"),
    [
        ("compute.h1", hypervisor("h1", vcpus=-1)),
        ("compute.h1", hypervisor("h1", vcpus=10**30)),
        ("compute.h1", hypervisor("h1", cpu_info={"x": "\0"})),
        ("compute.h1", hypervisor("h1", guests=[GuestSeen(server_id="'; --", power_state="running")])),
        ("compute.h1", hypervisor("h1", guests=[GuestSeen(server_id="\0", power_state="running")])),
        ("network.h1", NetworkReport(host="h1", taken_at=LATER, started=False,
                                     ports=[PortSeen(port_id="no uuid", network_id="none either")])),
        ("volume.h1", PoolReport(host="h1", taken_at=LATER, started=False, capacity_gib=1, free_gib=1,
                                 volumes=["no uuid"], exports=[ExportSeen(volume_id="x", attachment_id="y")])),
    ],
)  # fmt: skip
async def test_nonsense_from_a_host_hurts_that_host_alone(workers: Running, source: str, report: Any) -> None:
    """Security class 16: taken for what it is worth or put among the dead letters, and the next one is heard."""
    await workers.tell(report, source=source)
    await workers.tell(hypervisor("h2"), source="compute.h2")

    async def heard() -> bool:
        inbox = workers.broker.queues["skybus.answers"]
        idle = not inbox.messages and not any(consumer.tasks for consumer in inbox.consumers)
        return idle and await vcpus(workers, "h2") == 7777

    await workers.until(heard)


async def test_a_host_gives_no_orders_to_the_conductor(tmp_path: Path) -> None:
    """Security: a host that could interrupt operations would undo other tenants' servers."""
    async with small_cloud(tmp_path) as cloud:
        server_id = await cloud.server_asked([await cloud.network()], await cloud.image())
        await _placed_on(cloud, server_id)
        operation_id = await cloud.store.fetchval("SELECT id FROM saga.operation WHERE resource_id = $1", server_id)
        for order in (InterruptOperation(operation_id=operation_id), BeginOperation(operation_id=operation_id)):
            with pytest.raises(CloudError):
                await cloud.conductor._handle(_delivery(seal(order, "compute.h1")), order)
        await cloud.run()
        assert await cloud.status(server_id) == "ACTIVE"


# --- answers


async def test_an_answer_from_the_wrong_host_is_ignored(tmp_path: Path) -> None:
    """Another host's answer, the right host's answer to another command, and a made-up placement change nothing."""
    lies: list[str] = []

    async def meddle(envelope: Envelope, command: Command, carry: Carry) -> Answer | None:
        if isinstance(command, SpawnGuest):
            told = GuestSpawned(server_id=command.server_id, power_state="crashed", vnc_port=1)
            for source in ("compute.h1", "compute.h2", "network.h1", "scheduler", "conductor", ""):
                if source != right_host:
                    lie = seal(told, source, command_id=envelope.command_id)
                    await cloud.conductor._handle(_delivery(lie), told)
                    lies.append(source)
            other = seal(told, right_host, command_id=new_id())
            await cloud.conductor._handle(_delivery(other), told)
            stale = Placed(consumer_id=command.server_id, host="h2")
            await cloud.conductor._handle(_delivery(seal(stale, right_host, command_id=new_id())), stale)
            server = await cloud.show(command.server_id)
            assert server is not None
            assert (server["status"], server["OS-EXT-STS:task_state"]) == ("BUILD", "spawning")
        return await carry(command)

    async with small_cloud(tmp_path) as cloud:
        network, image = await cloud.network(), await cloud.image()
        server_id = await cloud.server_asked([network], image)
        right_host = await _placed_on(cloud, server_id)
        cloud.meddle = meddle
        await cloud.run()
        assert await cloud.status(server_id) == "ACTIVE"
        assert len(lies) == 5
        row = await cloud.store.fetchrow("SELECT vnc_port, power_state FROM compute.server WHERE id = $1", server_id)
        assert row is not None
        assert row["vnc_port"] != 1


async def _placed_on(cloud: SmallCloud, server_id: str) -> str:
    """Deliver until the scheduler has chosen; answer `compute.<host>`."""
    for _ in range(20):
        host = await cloud.store.fetchval("SELECT host FROM compute.server WHERE id = $1", server_id)
        if host:
            return f"compute.{host}"
        assert await cloud.deliver()
    raise AssertionError("never placed")


async def test_the_envelope_of_an_answer_cannot_move_another_operation(tmp_path: Path) -> None:
    """A host knows its own command's id, and cannot use it on an operation that waits for another host."""
    async with small_cloud(tmp_path) as cloud:
        first, second = [await cloud.volume_asked() for _ in range(2)]
        while await cloud.deliver():
            operations = await cloud.store.fetch("SELECT id, awaiting FROM saga.operation WHERE state = 'running'")
            for row in operations:
                for command_id in row["awaiting"]:
                    lie = Placed(consumer_id=first, host="h2")
                    envelope = msgspec.structs.replace(
                        seal(lie, "volume.h2", command_id=command_id), operation_id=row["id"]
                    )
                    if row["awaiting"][command_id]["to"] != "volume.h2":
                        await cloud.conductor._handle(_delivery(envelope), lie)
        await cloud.run()
        assert [await cloud.volume_status(one) for one in (first, second)] == ["available", "available"]

"""Reports wait for themselves alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from running import CONTROL, running_workers

from skybus.bus.envelope import ANSWERS, REPORTS, Post, seal
from skybus.ids import new_id
from skybus.messages.compute import HypervisorReport
from skybus.messages.operations import BeginOperation
from skybus.store import Store
from skybus_conductor.worker import REPORTS_AT_ONCE

HEARTBEATS = 5 * REPORTS_AT_ONCE


def heartbeat() -> HypervisorReport:
    return HypervisorReport(
        host="h1",
        taken_at=datetime(2090, 1, 1, tzinfo=UTC),
        started=False,
        hypervisor_type="QEMU",
        hypervisor_version=1,
        address="::1",
        vcpus=8,
        memory_mib=1,
        disk_gib=1,
    )


def left(queue: Any) -> int:
    """Messages that wait or are in hand."""
    return len(queue.messages) + sum(len(consumer.tasks) for consumer in queue.consumers)


async def test_what_moves_an_operation_passes_heartbeats_that_wait(store: Store, tmp_path: Path) -> None:
    """Reports that a thousand hosts sent within the same second once kept every operation of the cloud waiting."""
    async with running_workers(store, tmp_path) as workers:
        reports, answers = (workers.broker.queues[name] for name in ("skybus.reports", "skybus.answers"))
        agent = await workers.as_account("compute.h1")
        async with store.transaction() as tx:
            # Whoever takes a heartbeat in waits for us now.
            await tx.execute("SELECT FROM compute.host FOR UPDATE")
            await tx.execute("SELECT FROM conductor.host_report FOR UPDATE")
            posts = [Post(exchange=ANSWERS, key=REPORTS, envelope=seal(heartbeat(), "compute.h1"))] * HEARTBEATS
            await agent.publish(posts)
            await workers.tell(BeginOperation(operation_id=new_id()), source="gateway", user=CONTROL)

            async def answered() -> bool:
                return not left(answers)

            await workers.until(answered)
            assert left(reports) == HEARTBEATS

        async def heard() -> bool:
            return not left(reports)

        await workers.until(heard)

"""The database, the bus and the conductor die without a goodbye while users are at work, and come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from churn import Churn
from invariants import check
from shaken_cloud import ShakenCloud

USERS = 10
OUTAGE_SECONDS = 6
"""Longer than a message lasts whose handler fails and fails: five deliveries are over in 3 s."""


async def until_served(churn: Churn, since: float, seconds: float) -> None:
    """Wait until three servers that were asked for after `since` have become ACTIVE."""
    end = time.monotonic() + seconds
    while sum(asked > since for asked, _ in churn.active) < 3:
        assert time.monotonic() < end, f"no three servers within {seconds:.0f} s"
        await asyncio.sleep(0.2)


@pytest.mark.system
@pytest.mark.timeout(300)
async def test_users_lose_nothing_when_database_bus_and_conductor_are_killed_at_work(
    cloud: ShakenCloud, churn: Churn, record_property: Callable[[str, object], None]
) -> None:
    users = asyncio.create_task(churn.run(USERS))
    try:
        await until_served(churn, 0, 30)
        for names in (("postgres",), ("rabbitmq", "conductor")):
            killed = time.monotonic()
            cloud.kill(*names)
            await asyncio.sleep(OUTAGE_SECONDS)
            await cloud.up()
            await until_served(churn, killed, 60)
            again = min(seen for asked, seen in churn.active if asked > killed) - killed
            record_property(f"seconds until served again without {names[0]}", round(again, 1))
        churn.stop.set()
        await asyncio.wait_for(users, 60)
    finally:
        users.cancel()
        await asyncio.gather(users, return_exceptions=True)
    assert (churn.late, churn.client.internal_errors) == ([], [])
    await check(cloud)

"""A volume service, and hosts that it may put volumes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from skybus import clock
from skybus.messages.volume import PoolReport
from skybus.placement.inventory import Stock, provider_heard
from skybus.store import Store
from skybus.volume import types
from skybus.volume.api import api
from skybus.volume.policies import RULES
from skybus.volume.pools import pool_heard
from support.front import Client, front


@pytest.fixture
async def cloud(store: Store) -> AsyncIterator[Client]:
    """A gateway with the volume API alone, the default type, one storage host."""
    async with store.transaction() as tx:
        await types.bootstrap(tx)
        report = PoolReport(host="s1", taken_at=clock.now(), started=True, capacity_gib=100, free_gib=90)
        await pool_heard(tx, report)
        older = PoolReport(
            host="s1", taken_at=clock.now() - timedelta(minutes=1), started=False, capacity_gib=1, free_gib=1
        )
        await pool_heard(tx, older)
        await provider_heard(tx, "volume", "s1", {"DISK_GB": Stock(total=100)})
    async with front([api()], RULES, {"store": store}) as client:
        yield client

"""Everything that can die, stand still or fill up does so under users at work and guests that stand: nothing is stuck,
lost or leaked, nobody repairs anything by hand, and guests run on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from invariants import FAILED, check
from mishaps import FAULTS, Fault
from real_cloud import RealCloud
from shaken_cloud import empty
from standing import Standing
from times import Times
from visitors import Visitors

SERVED_SECONDS = 150


def marks(fault: Fault) -> list[pytest.MarkDecorator]:
    """Those that `ops/test` leaves to `ops/chaos`."""
    return [] if fault.in_ci else [pytest.mark.campaign]


@pytest.mark.system
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", [pytest.param(one, id=str(one), marks=marks(one)) for one in FAULTS])
async def test_the_cloud_is_normal_again_by_itself_after(
    fault: Fault, real: RealCloud, standing: Standing, visitors: Visitors, note_times: Callable[[Times], None]
) -> None:
    failed, boots = await real.rows(FAILED), [await guest.boot_id() for guest in (standing.near, standing.far)]
    await standing.well(60)
    await standing.near.turn_page()
    users = asyncio.create_task(visitors.run())
    times = Times(fault.name)
    note_times(times)
    try:
        await visitors.served_again(0, 90)
        struck = time.monotonic()
        await fault.strike(real, standing)
        await asyncio.sleep(fault.hold)
        times.held = time.monotonic() - struck
        await fault.mend(real, standing)
        times.mended = time.monotonic() - struck
        times.served = await visitors.served_again(struck, SERVED_SECONDS) - struck
        await standing.well(120)
        times.guests = time.monotonic() - struck
        visitors.stop.set()
        await asyncio.wait_for(users, 120)
    finally:
        users.cancel()
        await asyncio.gather(users, return_exceptions=True)
    times.errors = visitors.errors
    await check(real, known=failed, seconds=90)
    await empty("disagreements of host and database", real.disagreements, 30)
    times.clean = time.monotonic() - struck
    if fault.spares_guests:
        times.noticed = await standing.near.diary()
        assert [await guest.boot_id() for guest in (standing.near, standing.far)] == boots
    assert (visitors.late, visitors.client.internal_errors) == ([], [])

"""Guests live on without anybody who governs them: their network, the renewal of their leases, their metadata and their
disks need neither control plane nor bus nor database, nor the agents that keep no guest's door open themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from invariants import FAILED, check
from mishaps import BASE, CONTROL, HYPERVISOR
from real_cloud import RealCloud
from shaken_cloud import empty
from standing import RENEW_SECONDS, Silence, Standing
from times import Times

GOVERNMENT = (*CONTROL, *BASE, "epmd", "compute.host-1", "volume.host-1", *HYPERVISOR)
"""The network agent stays: it is itself the metadata service of its host."""
LONGEST_GAP = {"ping": 5.0, "metadata": 5.0, "disk": 5.0, "lease": RENEW_SECONDS + 5.0}
"""Seconds that may lie between two good looks."""


def gaps(diary: dict[str, Silence]) -> list[str]:
    """What a guest missed."""
    return [
        f"{what}: {diary.get(what)}"
        for what, longest in LONGEST_GAP.items()
        if what not in diary or diary[what].bad or not diary[what].good or diary[what].longest > longest
    ]


@pytest.mark.system
@pytest.mark.timeout(1200)
async def test_guests_keep_network_lease_metadata_and_disk_while_nobody_governs(
    real: RealCloud, standing: Standing, pytestconfig: pytest.Config, note_times: Callable[[Times], None]
) -> None:
    seconds = float(pytestconfig.getoption("--without-control", default=45))
    failed, boots = await real.rows(FAILED), [await guest.boot_id() for guest in (standing.near, standing.far)]
    await standing.well(60)
    real.kill(*GOVERNMENT)
    await standing.near.turn_page()
    await asyncio.sleep(seconds)
    diary = await standing.near.diary()
    alive = [name for name in GOVERNMENT if real.runs(name)]
    await real.up()
    note_times(Times(f"nobody governs for {seconds:.0f} s", held=seconds, noticed=diary))
    assert (alive, gaps(diary)) == ([], [])
    assert [await guest.boot_id() for guest in (standing.near, standing.far)] == boots
    await check(real, known=failed)
    await empty("disagreements of host and database", real.disagreements, 30)

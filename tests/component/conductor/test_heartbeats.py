"""Heartbeats that say no more than that an agent is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skybus.bus.envelope import seal
from skybus.bus.message import AgentAlive, ReportAll
from skybus.bus.transport import Delivery
from skybus_conductor.sweeps import host_pictures, silent_hosts
from support.small_cloud import SmallCloud, small_cloud

HEARD = """
SELECT (SELECT heard_at FROM compute.host WHERE name = 'h1'), (SELECT heard_at FROM network.agent WHERE host = 'h1'),
       (SELECT heard_at FROM volume.pool WHERE host = 'h1'),
       (SELECT min(last_seen) FROM placement.provider WHERE host = 'h1'),
       (SELECT min(taken_at) FROM conductor.host_report WHERE host = 'h1')
"""


async def beat(cloud: SmallCloud, kind: Any, host: str = "h1", *, unchanged: bool = True) -> None:
    message = AgentAlive(kind=kind, host=host, taken_at=cloud.time, unchanged=unchanged)
    envelope = seal(message, f"{kind}.{host}")
    delivery = Delivery(envelope=envelope, queue="reports", deliveries=0, user=envelope.source)
    await cloud.conductor._handle(delivery, message)


async def test_a_beat_keeps_a_host_up_and_vouches_for_its_last_picture(tmp_path: Path) -> None:
    async with small_cloud(tmp_path) as cloud:
        cloud.wait(50)
        for kind in ("compute", "network", "volume"):
            await beat(cloud, kind)
        heard = await cloud.store.fetchrow(HEARD)
        assert heard is not None
        assert set(heard) == {cloud.time}
        cloud.wait(50)
        async with cloud.store.transaction() as tx:
            await silent_hosts(tx)
        up = "SELECT kind, host FROM placement.provider WHERE up ORDER BY kind"
        assert [tuple(row) for row in await cloud.store.fetch(up)] == [("compute", "h1"), ("volume", "h1")]
        await beat(cloud, "compute", "h2")
        assert len(await cloud.store.fetch(up)) == 3, "a host that is heard again is up again"


async def test_a_host_that_changes_is_alive_and_its_old_picture_no_longer_vouched_for(tmp_path: Path) -> None:
    async with small_cloud(tmp_path) as cloud:
        cloud.wait(10)
        await beat(cloud, "compute", unchanged=False)
        taken_at = await cloud.store.fetchval(
            "SELECT taken_at FROM conductor.host_report WHERE kind = 'compute' AND host = 'h1'"
        )
        assert taken_at < cloud.time


async def test_a_host_that_nobody_knows_is_asked_for_everything(tmp_path: Path) -> None:
    async with small_cloud(tmp_path) as cloud:
        for kind in ("compute", "network", "volume"):
            await beat(cloud, kind, "h9")
        asked = "SELECT routing_key FROM bus.outbox WHERE type = $1 ORDER BY routing_key"
        rows = await cloud.store.fetch(asked, ReportAll.TYPE)
        assert [row["routing_key"] for row in rows] == ["compute.h9", "network.h9", "volume.h9"]


async def test_a_host_that_has_nothing_new_to_tell_is_held_against_the_tables(tmp_path: Path) -> None:
    async with small_cloud(tmp_path) as cloud:
        server_id = await cloud.server()
        cloud.wait(1)
        await cloud.report()
        host = await cloud.store.fetchval("SELECT host FROM compute.server WHERE id = $1", server_id)
        assert (await cloud.world())[f"network.{host} ports"] != []
        # What no operation did: the port is another one's now, and nobody told its host.
        async with cloud.store.transaction() as tx:
            await tx.execute("DELETE FROM network.port WHERE server_id = $1", server_id)
        cloud.wait(10)
        for name in ("h1", "h2"):
            await beat(cloud, "network", name)
        async with cloud.store.transaction() as tx:
            await host_pictures(cloud.conductor_cloud).look(tx)
        while await cloud.deliver():
            pass
        assert (await cloud.world())[f"network.{host} ports"] == []

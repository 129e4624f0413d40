"""What conductors look at from time to time."""

from __future__ import annotations

from pathlib import Path

from skybus.ids import new_id
from skybus.placement.claims import Claim, allocations_of, claims_take
from skybus_conductor.sweeps import orphaned_claims
from support.small_cloud import small_cloud


async def test_claims_of_nobody_are_released_and_those_of_servers_and_of_operations_stay(tmp_path: Path) -> None:
    async with small_cloud(tmp_path) as cloud:
        server_id, stranger = await cloud.server(), new_id()
        building = await cloud.server_asked([await cloud.network("other", "10.77.0.0/24")], await cloud.image())
        async with cloud.store.transaction() as tx:
            for consumer in (stranger, building):
                claim = Claim(consumer_id=consumer, project_id="p1", host="h1", resources={"VCPU": 1})
                assert await claims_take(tx, "compute", [claim])
            await orphaned_claims(tx)
        assert await allocations_of(cloud.store, stranger) == {}
        assert await allocations_of(cloud.store, building) == {"VCPU": 1}
        assert (await allocations_of(cloud.store, server_id))["VCPU"] == 1

"""The doctor on a cloud that the real packages, sagas and agents have made: it has nothing to say."""

from __future__ import annotations

from pathlib import Path

from skybus.cli.doctor import as_rows
from skybus.doctor.checks import examine
from support.small_cloud import small_cloud


async def test_a_cloud_is_well_with_a_server_and_its_volume_and_after_their_end(tmp_path: Path) -> None:
    async with small_cloud(tmp_path) as cloud:
        server_id, volume_id = await cloud.server(networks=2), await cloud.volume()
        await cloud.attach(server_id, volume_id)
        await cloud.run()
        cloud.wait(30)
        await cloud.report()
        assert as_rows(await examine(cloud.store)) == []

        deleted = await cloud.client.call("DELETE", f"/compute/v2.1/servers/{server_id}")
        assert deleted.status == 204
        await cloud.run()
        cloud.wait(30)
        await cloud.report()
        assert as_rows(await examine(cloud.store)) == []

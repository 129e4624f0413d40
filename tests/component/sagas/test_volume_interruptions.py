"""A server is deleted while a volume comes or goes: whoever is quicker, both end, and nothing is left between hosts."""

from __future__ import annotations

from pathlib import Path

from support.small_cloud import SmallCloud, small_cloud

MOST = 12
"""Messages after which an attachment, or its end, has long been through."""


async def delete_server(cloud: SmallCloud, server_id: str) -> None:
    assert (await cloud.client.call("DELETE", f"/compute/v2.1/servers/{server_id}")).status == 204


async def nothing_is_between(cloud: SmallCloud, server_id: str, volume_id: str) -> None:
    assert await cloud.status(server_id) is None
    assert await cloud.volume_status(volume_id) == "available"
    world = await cloud.world()
    assert world["attachments"] == []
    assert not any(found for name, found in world.items() if name.endswith((" exports", " guests")))
    open_ = "SELECT kind, state FROM saga.operation WHERE state NOT IN ('done', 'undone')"
    assert await cloud.store.fetch(open_) == []


async def test_a_server_deleted_at_any_moment_of_an_attachment_lets_the_volume_go(tmp_path: Path) -> None:
    for messages in range(MOST):
        async with small_cloud(tmp_path / str(messages)) as cloud:
            server_id, volume_id = await cloud.server(), await cloud.volume()
            await cloud.attach(server_id, volume_id)
            for _ in range(messages):
                await cloud.deliver()
            await delete_server(cloud, server_id)
            await cloud.run()
            await nothing_is_between(cloud, server_id, volume_id)


async def test_a_server_deleted_at_any_moment_of_a_detachment_lets_the_volume_go(tmp_path: Path) -> None:
    for messages in range(MOST):
        async with small_cloud(tmp_path / str(messages)) as cloud:
            server_id, volume_id = await cloud.server(), await cloud.volume()
            await cloud.attach(server_id, volume_id)
            await cloud.run()
            url = f"/compute/v2.1/servers/{server_id}/os-volume_attachments/{volume_id}"
            assert (await cloud.client.call("DELETE", url)).status == 202
            for _ in range(messages):
                await cloud.deliver()
            await delete_server(cloud, server_id)
            await cloud.run()
            await nothing_is_between(cloud, server_id, volume_id)

"""What tests of volumes do again and again: create one, bring it along its life as the operations do."""

from __future__ import annotations

from typing import Any

from skybus.store import Store
from skybus.volume.volumes import volume_made, volume_placed
from support.front import Answer, Client

ALICE = "alice:p1:member,reader"
BOB = "bob:p2:member,reader"
READER = "carol:p1:reader"
ADMIN = "root:p0:admin,member,reader"


async def create(cloud: Client, token: str = ALICE, **body: Any) -> dict[str, Any]:
    """A volume that was accepted."""
    answer = await cloud.call("POST", "/volume/v3/volumes", {"volume": {"size": 1, **body}}, token=token)
    assert answer.status == 202, answer
    volume: dict[str, Any] = answer.body["volume"]
    return volume


async def make(store: Store, volume_id: str) -> None:
    """What volume_create does, and the operation out of the way."""
    async with store.transaction() as tx:
        await volume_placed(tx, volume_id, "s1")
        await volume_made(tx, volume_id)
        await tx.execute("UPDATE saga.operation SET state = 'done' WHERE resource_id = $1", volume_id)


async def available(cloud: Client, store: Store, token: str = ALICE, **body: Any) -> str:
    """The id of a volume that is available."""
    volume_id = str((await create(cloud, token, **body))["id"])
    await make(store, volume_id)
    return volume_id


async def get(cloud: Client, path: str, token: str = ALICE, version: str | None = None) -> Answer:
    """GET of a path under /volume/v3."""
    headers = {"OpenStack-API-Version": f"volume {version}"} if version else None
    return await cloud.call("GET", f"/volume/v3{path}", token=token, headers=headers)


async def event_types(store: Store) -> list[str]:
    """Types of the events that are owed, oldest first, without `skybus.volume.` and the version."""
    rows = await store.fetch("SELECT type FROM bus.outbox WHERE type LIKE 'skybus.volume.%' ORDER BY id")
    return [row["type"].removeprefix("skybus.volume.").removesuffix(".v1") for row in rows]

"""POST /volumes/{volume_id}/action."""

from __future__ import annotations

from volume_steps import BOB, READER, available, get

from skybus.ids import new_id
from skybus.store import Store
from support.front import Client


async def test_a_volume_is_marked_as_bootable_and_not(cloud: Client, store: Store) -> None:
    volume_id = await available(cloud, store)
    for asked, shown in ((True, "true"), (False, "false"), ("True", "true"), (False, "false")):
        body = {"os-set_bootable": {"bootable": asked}}
        assert (await cloud.call("POST", f"/volume/v3/p1/volumes/{volume_id}/action", body)).status == 200
        assert (await get(cloud, f"/volumes/{volume_id}")).body["volume"]["bootable"] == shown
        listed = (await get(cloud, f"/volumes?bootable={asked}")).body["volumes"]
        assert [one["id"] for one in listed] == [volume_id]
    sql = "SELECT count(*) FROM bus.outbox o WHERE o::text LIKE '%volume.volume.updated%'"
    assert await store.fetchval(sql) == 4


async def test_an_action_that_cannot_be_is_refused_and_changes_nothing(cloud: Client, store: Store) -> None:
    """Security classes 14 and 15: others' volumes, and bodies of all kinds."""
    volume_id = await available(cloud, store)
    path = f"/volume/v3/volumes/{volume_id}/action"
    for body in (
        {}, {"os-nonsense": {}}, {"os-set_bootable": None}, {"os-set_bootable": {}}, {"os-set_bootable": []},
        {"os-set_bootable": {"bootable": "maybe"}}, {"os-set_bootable": {"bootable": 1}},
        {"os-set_bootable": {"bootable": True, "more": 1}}, {"os-set_bootable": {"bootable": True}, "os-more": {}},
    ):  # fmt: skip
        assert (await cloud.call("POST", path, body)).status == 400, body
    good = {"os-set_bootable": {"bootable": True}}
    assert (await cloud.call("POST", path, good, token=BOB)).status == 404
    assert (await cloud.call("POST", path, good, token=READER)).status == 403
    assert (await cloud.call("POST", f"/volume/v3/volumes/{new_id()}/action", good)).status == 404
    assert (await cloud.call("POST", f"/volume/v3/volumes/{new_id()}/action", {"os-nonsense": {}})).status == 404
    assert (await get(cloud, f"/volumes/{volume_id}")).body["volume"]["bootable"] == "false"

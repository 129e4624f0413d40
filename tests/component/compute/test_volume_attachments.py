"""Volumes as disks of servers, through the compute API."""

from __future__ import annotations

import pytest

from skybus.ids import new_id
from skybus.volume import types
from skybus.volume.attachments import attachment_finish, attachment_remove
from skybus.volume.volumes import volume_made, volume_placed

from .conftest import ADMIN, ALICE, BOB, Compute


@pytest.fixture
async def volume_id(compute: Compute) -> str:
    """A volume of p1's that is available."""
    async with compute.store.transaction() as tx:
        await types.bootstrap(tx)
    answer = await compute.client.call("POST", "/volume/v3/volumes", {"volume": {"size": 1}}, token=ALICE)
    assert answer.status == 202, answer
    made = str(answer.body["volume"]["id"])
    async with compute.store.transaction() as tx:
        await volume_placed(tx, made, "s1")
        await volume_made(tx, made)
    await compute.end_operations(made)
    return made


async def test_a_volume_is_attached_shown_and_detached(compute: Compute, volume_id: str) -> None:
    server_id = await compute.active()
    path = f"/servers/{server_id}/os-volume_attachments"
    asked = {"volumeAttachment": {"volumeId": volume_id, "tag": "data", "delete_on_termination": True}}
    made = (await compute.call("POST", path, asked)).body["volumeAttachment"]
    assert (made["id"], made["volumeId"], made["device"], made["tag"]) == (volume_id, volume_id, "/dev/vdb", "data")
    operation = await compute.store.fetchrow(
        "SELECT kind, memo FROM saga.operation WHERE resource_id = $1 AND state = 'running'", volume_id
    )
    assert (operation["kind"], operation["memo"]["server_id"]) == ("volume_attach", server_id)
    assert (await compute.call("POST", path, asked)).status == 400, "a volume in use"
    async with compute.store.transaction() as tx:
        await attachment_finish(tx, operation["memo"]["attachment_id"])
    await compute.end_operations(volume_id)
    shown = await compute.show(server_id)
    assert shown["os-extended-volumes:volumes_attached"] == [{"id": volume_id, "delete_on_termination": True}]
    (listed,) = (await compute.get(path))["volumeAttachments"]
    assert (listed["attachment_id"], listed["bdm_uuid"]) == (operation["memo"]["attachment_id"],) * 2
    assert "id" not in listed
    assert (await compute.call("DELETE", f"{path}/{volume_id}", token=BOB)).status == 404
    assert (await compute.call("DELETE", f"{path}/{volume_id}")).status == 202
    assert (await compute.call("DELETE", f"{path}/{volume_id}")).status in (400, 409)
    async with compute.store.transaction() as tx:
        await attachment_remove(tx, operation["memo"]["attachment_id"])
    assert (await compute.call("GET", f"{path}/{volume_id}")).status == 404


async def test_an_attachment_has_the_fields_of_each_microversion(compute: Compute, volume_id: str) -> None:
    server_id = await compute.active()
    path = f"/servers/{server_id}/os-volume_attachments"
    await compute.call("POST", path, {"volumeAttachment": {"volumeId": volume_id}})
    plain = {"id", "volumeId", "serverId", "device"}
    for version, names in (
        ("2.1", plain),
        ("2.70", plain | {"tag"}),
        ("2.79", plain | {"tag", "delete_on_termination"}),
        ("2.89", plain - {"id"} | {"tag", "delete_on_termination", "attachment_id", "bdm_uuid"}),
    ):
        shown = (await compute.get(f"{path}/{volume_id}", version=version))["volumeAttachment"]
        assert set(shown) == names, version
    for version in ("2.1", "2.3"):
        (attached,) = (await compute.show(server_id, version=version))["os-extended-volumes:volumes_attached"]
        assert set(attached) == ({"id"} if version == "2.1" else {"id", "delete_on_termination"})


async def test_what_cannot_be_attached_is_refused_and_stays_available(compute: Compute, volume_id: str) -> None:
    """Security classes 5 and 14: a volume reaches no server but its project's own."""
    server_id, building = await compute.active(), await compute.create()
    theirs = await compute.active(token=BOB)
    for server, fields, token, version, status in (
        (server_id, {"volumeId": new_id()}, ALICE, "2.96", 404),
        (server_id, {"volumeId": "nothing"}, ALICE, "2.96", 400),
        (server_id, {}, ALICE, "2.96", 400),
        (server_id, {"volumeId": volume_id, "device": "../x y"}, ALICE, "2.96", 400),
        (server_id, {"volumeId": volume_id, "tag": "t"}, ALICE, "2.48", 400),
        (server_id, {"volumeId": volume_id, "delete_on_termination": True}, ALICE, "2.78", 400),
        (server_id, {"volumeId": volume_id, "more": 1}, ALICE, "2.96", 400),
        (building, {"volumeId": volume_id}, ALICE, "2.96", 409),
        (theirs, {"volumeId": volume_id}, BOB, "2.96", 404),
        (theirs, {"volumeId": volume_id}, ALICE, "2.96", 404),
        (theirs, {"volumeId": volume_id}, ADMIN, "2.96", 404),
    ):
        path = f"/servers/{server}/os-volume_attachments"
        answer = await compute.call("POST", path, {"volumeAttachment": fields}, token=token, version=version)
        assert answer.status == status, (fields, answer)
    volume = (await compute.client.call("GET", f"/volume/v3/volumes/{volume_id}")).body["volume"]
    assert volume["status"] == "available"
    assert (await compute.call("DELETE", f"/servers/{server_id}/os-volume_attachments/{volume_id}")).status == 404
    assert (await compute.call("DELETE", f"/servers/{server_id}/os-volume_attachments/nothing")).status == 404

"""Attachments: a volume is with one server at a time, and what the two hosts whisper is not for others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from volume_steps import ADMIN, BOB, available, event_types, get

from skybus.errors import BadRequest, CloudError, CommandRefused, Conflict, NotFound
from skybus.ids import new_id
from skybus.messages.volume import IscsiTarget
from skybus.store import Store
from skybus.volume.attachments import (
    attachment_begin_detach,
    attachment_end,
    attachment_exists,
    attachment_exported,
    attachment_finish,
    attachment_get,
    attachment_give_up,
    attachment_keep,
    attachment_remove,
    attachment_reserve,
    attachment_start,
    attachments_of_servers,
    export_order,
    guest_volume,
    guest_volumes,
    unexport_order,
)
from skybus.volume.volumes import volume_get
from support.front import Client


async def reserve(store: Store, volume_id: str, server_id: str, **how: Any) -> Any:
    async with store.transaction() as tx:
        return await attachment_reserve(tx, volume_id, server_id, project_id="p1", **how)


async def attach(store: Store, volume_id: str, server_id: str) -> str:
    """What the operation does, without hosts; answers the attachment's id and its password in the target."""
    row = await reserve(store, volume_id, server_id)
    async with store.transaction() as tx:
        _, order = await export_order(tx, row["id"], "10.0.0.2")
        target = IscsiTarget(
            portal="10.0.0.1:3260",
            iqn="iqn.2026-01.x:1",
            lun=1,
            chap_user=order.chap_user,
            chap_password=order.chap_password,
        )
        await attachment_exported(tx, row["id"], target)
        await attachment_finish(tx, row["id"], "/dev/vdz")
    return str(row["id"])


async def status(store: Store, volume_id: str) -> str:
    return str((await volume_get(store, volume_id))["status"])


async def test_a_volume_is_promised_attached_and_given_back(cloud: Client, store: Store) -> None:
    volume_id, server_id = await available(cloud, store), new_id()
    attachment_id = await attach(store, volume_id, server_id)
    [shown] = (await get(cloud, f"/volumes/{volume_id}")).body["volume"]["attachments"]
    assert shown["server_id"] == server_id
    assert shown["attachment_id"] == attachment_id
    assert shown["device"] == "/dev/vdz"
    assert shown["id"] == shown["volume_id"] == volume_id
    [given] = await guest_volumes(store, server_id)
    assert given.target.portal == "10.0.0.1:3260"
    assert len(given.target.chap_password) == 16
    found = await attachments_of_servers(store, [server_id, new_id()])
    assert [row["id"] for row in found[server_id]] == [attachment_id]
    assert len(found) == 1
    async with store.transaction() as tx:
        await attachment_begin_detach(tx, server_id, volume_id)
    assert await status(store, volume_id) == "detaching"
    for _ in range(2):
        async with store.transaction() as tx:
            await attachment_remove(tx, attachment_id)
    assert await status(store, volume_id) == "available"
    assert await guest_volumes(store, server_id) == []
    told = [one for one in await event_types(store) if one != "volume.moved"]
    assert told[-2:] == ["volume.attached", "volume.detached"]


async def test_of_many_servers_one_gets_the_volume(cloud: Client, store: Store) -> None:
    volume_id = await available(cloud, store)
    answers = await asyncio.gather(*(reserve(store, volume_id, new_id()) for _ in range(5)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BadRequest)]
    assert len(refused) == 4
    assert await store.fetchval("SELECT count(*) FROM volume.attachment") == 1


async def test_devices_of_a_server_are_given_out_once(cloud: Client, store: Store) -> None:
    server_id = new_id()
    volumes = [await available(cloud, store) for _ in range(4)]
    rows = await asyncio.gather(*(reserve(store, volume_id, server_id) for volume_id in volumes[:2]))
    assert sorted(row["device"] for row in rows) == ["/dev/vdb", "/dev/vdc"]
    with pytest.raises(Conflict, match="in use"):
        await reserve(store, volumes[2], server_id, device="/dev/vdb")
    assert await status(store, volumes[2]) == "available"
    assert (await reserve(store, volumes[3], server_id, device="/dev/vde"))["device"] == "/dev/vde"


async def test_a_volume_of_another_project_is_not_attached(cloud: Client, store: Store) -> None:
    """Security class 14."""
    volume_id = await available(cloud, store, BOB)
    for wrong in (volume_id, new_id(), "odd"):
        with pytest.raises(NotFound):
            await reserve(store, wrong, new_id())
    assert await status(store, volume_id) == "available"


async def test_starting_begins_an_operation_on_the_volume(cloud: Client, store: Store) -> None:
    volume_id, server_id = await available(cloud, store), new_id()
    async with store.transaction() as tx:
        row = await attachment_start(tx, volume_id, server_id, project_id="p1")
    operation = await store.fetchrow("SELECT kind, resource_id, memo FROM saga.operation WHERE state = 'running'")
    assert operation["kind"] == "volume_attach"
    assert operation["memo"] == {"attachment_id": row["id"], "server_id": server_id}
    assert (await cloud.call("DELETE", f"/volume/v3/volumes/{volume_id}")).status == 400
    with pytest.raises(CloudError):
        async with store.transaction() as tx:
            await attachment_begin_detach(tx, server_id, volume_id)
    with pytest.raises(NotFound):
        async with store.transaction() as tx:
            await attachment_begin_detach(tx, new_id(), volume_id)


async def test_a_volume_that_was_not_attached_is_available_again(cloud: Client, store: Store) -> None:
    volume_id = await available(cloud, store)
    row = await reserve(store, volume_id, new_id())
    for _ in range(2):
        async with store.transaction() as tx:
            await attachment_give_up(tx, row["id"])
    assert await status(store, volume_id) == "available"
    assert not await attachment_exists(store, row["id"])
    with pytest.raises(CommandRefused):
        await export_order(store, row["id"], "10.0.0.2")
    with pytest.raises(CommandRefused):
        await attachment_finish(store, row["id"])


async def test_a_volume_that_was_not_detached_is_in_use_as_before(cloud: Client, store: Store) -> None:
    volume_id, server_id = await available(cloud, store), new_id()
    attachment_id = await attach(store, volume_id, server_id)
    async with store.transaction() as tx:
        await attachment_begin_detach(tx, server_id, volume_id)
    async with store.transaction() as tx:
        await attachment_keep(tx, attachment_id)
        await attachment_keep(tx, new_id())
    assert await status(store, volume_id) == "in-use"
    assert (await attachment_get(store, attachment_id))["state"] == "attached"
    to, order = await unexport_order(store, attachment_id)
    assert (to, order.volume_id) == ("volume.s1", volume_id)
    assert (await guest_volume(store, attachment_id)).device == "/dev/vdz"


async def test_a_volume_that_goes_with_its_server_is_deleted_with_it(cloud: Client, store: Store) -> None:
    stays, goes = await available(cloud, store), await available(cloud, store)
    server_id = new_id()
    for volume_id in (stays, goes):
        row = await reserve(store, volume_id, server_id, delete_on_termination=volume_id == goes)
        async with store.transaction() as tx:
            await attachment_finish(tx, row["id"])
            await attachment_end(tx, row["id"])
            await attachment_end(tx, row["id"])
    assert (await status(store, stays), await status(store, goes)) == ("available", "deleting")
    running = await store.fetch("SELECT kind, resource_id FROM saga.operation WHERE state = 'running'")
    assert [tuple(row) for row in running] == [("volume_delete", goes)]


async def test_a_server_that_is_deleted_while_its_volume_is_detached_ends_the_attachment_once(
    cloud: Client, store: Store
) -> None:
    volume_id, server_id = await available(cloud, store), new_id()
    attachment_id = await attach(store, volume_id, server_id)

    async def end_too() -> None:
        async with store.transaction() as tx:
            await attachment_end(tx, attachment_id)

    async with store.transaction() as tx:
        await attachment_remove(tx, attachment_id)
        other = asyncio.create_task(end_too())
        async with asyncio.timeout(10):
            while not await store.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.01)
    await other
    assert await status(store, volume_id) == "available"
    assert (await event_types(store)).count("volume.detached") == 1


async def test_attachments_are_shown_without_what_the_hosts_share(cloud: Client, store: Store) -> None:
    """Security classes 5 and 18: no password in any answer or event, and no way to end an attachment from here."""
    volume_id, server_id = await available(cloud, store), new_id()
    attachment_id = await attach(store, volume_id, server_id)
    [given] = await guest_volumes(store, server_id)
    shown = await get(cloud, f"/attachments/{attachment_id}", version="3.27")
    assert shown.body["attachment"]["volume_id"] == volume_id
    assert shown.body["attachment"]["instance"] == server_id
    listed = await get(cloud, "/attachments", version="3.27")
    assert [one["id"] for one in listed.body["attachments"]] == [attachment_id]
    detail = await get(cloud, "/attachments/detail", ADMIN, version="3.27")
    assert detail.body["attachments"] == []
    everyone = await get(cloud, f"/attachments/detail?all_tenants=1&volume_id={volume_id}", ADMIN, version="3.27")
    assert len(everyone.body["attachments"]) == 1
    volume = await get(cloud, f"/volumes/{volume_id}", ADMIN)
    secret = given.target.chap_password.encode()
    assert not any(secret in answer.data for answer in (shown, listed, everyone, volume))
    events = await store.fetch("SELECT body FROM bus.outbox WHERE exchange = 'skybus.events'")
    assert not any(given.target.chap_password in row["body"] for row in events)
    path = f"/attachments/{attachment_id}"
    assert (await get(cloud, path, version="3.26")).status == 404
    assert (await get(cloud, path, BOB, version="3.27")).status == 404
    assert (await get(cloud, "/attachments", BOB, version="3.27")).body["attachments"] == []
    assert (await get(cloud, "/attachments?volume_id=x", version="3.27")).status == 400
    headers = {"OpenStack-API-Version": "volume 3.27"}
    for token in ("alice:p1:member,reader", ADMIN):
        answer = await cloud.call("DELETE", f"/volume/v3{path}", token=token, headers=headers)
        assert answer.status == 405

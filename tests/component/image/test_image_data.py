"""Image data: what comes in is what it says it is, or nothing of it is left; what goes out is what came in."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from skybus.errors import BadRequest, NotFound
from skybus.ids import new_id
from skybus.image.boot import image_for_boot, image_source
from skybus.image.images import image_get
from skybus.image.quotas import limits_set
from skybus.image.store_fs import FsStore
from skybus.image.sweep import sweep_images
from skybus.image.uploads import upload_begin
from skybus.store import Store
from support.disk_images import MIB, every_evil_image, iso, partitioned, qcow2, raw
from support.front import Answer, Client

ALICE = "alice:p1:member,reader"
BOB = "bob:p2:member,reader"
ADMIN = "root:p0:admin,member,reader"
OCTETS = {"Content-Type": "application/octet-stream"}


async def create(cloud: Client, disk_format: str = "raw", **body: Any) -> str:
    asked = {"name": "one", "disk_format": disk_format, "container_format": "bare", **body}
    answer = await cloud.call("POST", "/image/v2/images", asked, token=ADMIN if body.get("owner") else ALICE)
    assert answer.status == 201, answer
    return str(answer.body["id"])


async def upload(cloud: Client, image_id: str, data: bytes, token: str = ALICE) -> Answer:
    headers = {**OCTETS, "X-Auth-Token": token}
    url = f"{cloud.url}/image/v2/images/{image_id}/file"
    async with cloud.http.put(url, data=io.BytesIO(data), headers=headers) as response:
        return Answer(response.status, response.headers, await response.read(), None)


async def show(cloud: Client, image_id: str) -> dict[str, Any]:
    answer = await cloud.call("GET", f"/image/v2/images/{image_id}", token=ADMIN)
    assert answer.status == 200
    shown: dict[str, Any] = answer.body
    return shown


async def until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """What `condition` answers once it is true. Fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            value = await value if asyncio.iscoroutine(value) else value
            if value:
                return value
            await asyncio.sleep(0.02)


def files(images: FsStore) -> list[Path]:
    return [path for path in images.folder.rglob("*") if path.is_file()]


async def test_what_is_uploaded_is_hashed_kept_and_read_back(cloud: Client, images: FsStore, store: Store) -> None:
    image_id, data = await create(cloud), raw()
    path = f"/image/v2/images/{image_id}/file"
    assert (await cloud.call("GET", path)).status == 204
    assert (await upload(cloud, image_id, data)).status == 204
    shown = await show(cloud, image_id)
    assert shown["status"] == "active"
    assert shown["size"] == shown["virtual_size"] == len(data)
    assert shown["checksum"] == hashlib.md5(data).hexdigest()
    assert shown["os_hash_algo"] == "sha512"
    assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()
    got = await cloud.call("GET", path)
    assert got.data == data
    assert got.headers["Content-Type"] == "application/octet-stream"
    assert got.headers["Content-MD5"] == shown["checksum"]
    assert got.headers["X-Openstack-Request-Id"].startswith("req-")
    types = [row["type"] for row in await store.fetch("SELECT type FROM bus.outbox ORDER BY id")]
    assert types == ["skybus.image.image.created.v1", "skybus.image.image.uploaded.v1"]
    assert (await cloud.call("DELETE", f"/image/v2/images/{image_id}")).status == 204
    assert files(images) == []


PARTS = [
    ("bytes=0-0", 206, slice(0, 1)),
    ("bytes=10-19", 206, slice(10, 20)),
    ("bytes=-5", 206, slice(-5, None)),
    ("bytes=1000000-", 206, slice(1_000_000, None)),
    ("bytes=99999999-", 416, slice(0, 0)),
    ("bytes=odd", 416, slice(0, 0)),
]


async def test_a_part_of_the_data_can_be_read(cloud: Client) -> None:
    image_id, data = await create(cloud), raw()
    await upload(cloud, image_id, data)
    for wanted, status, part in PARTS:
        answer = await cloud.call("GET", f"/image/v2/images/{image_id}/file", headers={"Range": wanted})
        assert answer.status == status
        if status == 206:
            assert answer.data == data[part]


@pytest.mark.parametrize(
    ("disk_format", "data", "virtual"),
    [("raw", partitioned(), MIB), ("qcow2", qcow2(16 * MIB), 16 * MIB), ("iso", iso(), len(iso())), ("raw", b"", 0)],
    ids=["partitioned", "qcow2", "iso", "empty"],
)
async def test_honest_images_are_taken(cloud: Client, disk_format: str, data: bytes, virtual: int) -> None:
    image_id = await create(cloud, disk_format)
    assert (await upload(cloud, image_id, data)).status == 204
    shown = await show(cloud, image_id)
    assert (shown["size"], shown["virtual_size"]) == (len(data), virtual)


async def test_an_image_that_is_not_what_it_claims_is_refused(cloud: Client, images: FsStore, store: Store) -> None:
    """Security classes 1 and 2: headers that point at files of the host, formats that lie."""
    for name, (disk_format, data) in every_evil_image().items():
        image_id = await create(cloud, disk_format)
        answer = await upload(cloud, image_id, data)
        assert answer.status == 415, (name, answer)
        shown = await show(cloud, image_id)
        assert shown["status"] == "queued"
        assert shown["size"] is None
        assert files(images) == []
        told = "SELECT count(*) FROM bus.outbox WHERE type = 'skybus.image.image.refused.v1' AND subject = $1"
        assert await store.fetchval(told, image_id) == 1
        if disk_format == "raw":
            assert (await upload(cloud, image_id, raw(100))).status == 204
        await cloud.call("DELETE", f"/image/v2/images/{image_id}")


async def test_a_container_hides_no_disk_format(cloud: Client) -> None:
    """Security class 1: the check is not escaped by naming a container."""
    image_id = await create(cloud, "qcow2", container_format="ova")
    assert (await upload(cloud, image_id, qcow2(backing="/etc/passwd"))).status == 415


async def test_a_format_does_not_change_once_it_was_checked(cloud: Client) -> None:
    """Security class 1: uploaded as one thing, relabelled as another."""
    image_id = await create(cloud, "raw")
    await upload(cloud, image_id, raw())
    answer = await cloud.call(
        "PATCH",
        f"/image/v2/images/{image_id}",
        data=b'[{"op": "replace", "path": "/disk_format", "value": "qcow2"}]',
        headers={"Content-Type": "application/openstack-images-v2.1-json-patch"},
    )
    assert answer.status == 403


async def test_data_is_uploaded_once(cloud: Client, images: FsStore) -> None:
    image_id, data = await create(cloud), raw()
    await upload(cloud, image_id, data)
    again = await upload(cloud, image_id, b"other")
    assert again.status == 409
    assert (await cloud.call("GET", f"/image/v2/images/{image_id}/file")).data == data
    assert len(files(images)) == 1


async def test_data_needs_formats_and_the_right_media_type(cloud: Client) -> None:
    image_id = await create(cloud)
    path = f"/image/v2/images/{image_id}/file"
    assert (await cloud.call("PUT", path, data=b"x", headers={"Content-Type": "text/plain"})).status == 415
    elsewhere = {**OCTETS, "X-Image-Meta-Store": "elsewhere"}
    assert (await cloud.call("PUT", path, data=b"x", headers=elsewhere)).status == 400
    bare = await cloud.call("POST", "/image/v2/images", {})
    assert (await upload(cloud, bare.body["id"], b"x")).status == 400


async def test_an_image_over_the_limit_is_refused_and_leaves_nothing(cloud: Client, images: FsStore) -> None:
    """Security class 3: unbounded data."""
    image_id = await create(cloud)
    assert (await upload(cloud, image_id, bytes(images.max_bytes + 1))).status == 413
    assert (await show(cloud, image_id))["status"] == "queued"
    assert files(images) == []


async def test_a_project_over_its_quota_keeps_nothing(cloud: Client, images: FsStore, store: Store) -> None:
    """Security class 16 and 20: the size is counted when it is known."""
    async with store.transaction() as tx:
        await limits_set(tx, "p1", 10, 2)
    image_id = await create(cloud)
    assert (await upload(cloud, image_id, bytes(3 * MIB))).status == 413
    assert (await show(cloud, image_id))["status"] == "queued"
    assert files(images) == []


async def test_an_upload_shows_as_saving_and_its_death_leaves_nothing(cloud: Client, images: FsStore) -> None:
    image_id = await create(cloud)
    gate = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield raw(2 * MIB)
        await gate.wait()

    headers = {**OCTETS, "X-Auth-Token": ALICE}
    url = f"{cloud.url}/image/v2/images/{image_id}/file"
    async with aiohttp.ClientSession() as mine:
        sending = asyncio.create_task(mine.put(url, data=half(), headers=headers).__aenter__())
        await until(lambda: files(images))
        assert (await show(cloud, image_id))["status"] == "saving"
        assert (await upload(cloud, image_id, b"x")).status == 409
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    await until(lambda: not files(images))
    assert await until(lambda: _is_queued(cloud, image_id))
    assert (await upload(cloud, image_id, raw())).status == 204


async def _is_queued(cloud: Client, image_id: str) -> bool:
    return bool((await show(cloud, image_id))["status"] == "queued")


async def test_an_image_deleted_during_its_upload_leaves_no_file(cloud: Client, images: FsStore) -> None:
    image_id = await create(cloud)
    gate = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield raw(2 * MIB)
        await gate.wait()
        yield raw(MIB)

    headers = {**OCTETS, "X-Auth-Token": ALICE}
    url = f"{cloud.url}/image/v2/images/{image_id}/file"
    sending = asyncio.create_task(cloud.http.put(url, data=slow(), headers=headers).__aenter__())
    await until(lambda: files(images))
    assert (await cloud.call("DELETE", f"/image/v2/images/{image_id}")).status == 204
    gate.set()
    response = await sending
    assert response.status == 410
    response.release()
    assert files(images) == []


async def test_a_killed_gateways_upload_lapses_by_itself(cloud: Client, images: FsStore, store: Store) -> None:
    image_id = await create(cloud)
    async with store.transaction() as tx:
        upload_id = await upload_begin(tx, await image_get(tx, image_id))
    held = images.receive(upload_id)
    held.write(b"half")
    assert (await show(cloud, image_id))["status"] == "saving"
    assert await sweep_images(store, images) == [], "data that is being written is not swept"
    held._close()  # the kernel does this to a killed process
    assert await sweep_images(store, images) == [upload_id]
    await _let_the_lease_lapse(store, image_id)
    assert (await show(cloud, image_id))["status"] == "queued"
    assert (await cloud.call("GET", "/image/v2/images?status=queued")).body["images"][0]["id"] == image_id
    assert (await upload(cloud, image_id, raw())).status == 204


async def _let_the_lease_lapse(store: Store, image_id: str) -> None:
    async with store.transaction() as tx:
        await tx.execute("UPDATE image.image SET upload_until = now() WHERE id = $1", image_id)


async def test_the_sweep_removes_files_without_an_image_and_no_others(
    cloud: Client, images: FsStore, store: Store
) -> None:
    image_id = await create(cloud)
    await upload(cloud, image_id, raw())
    orphan = images.folder / new_id()
    orphan.write_bytes(b"x")
    assert await sweep_images(store, images) == [], "a young file may be about to get its row"
    assert await sweep_images(store, images, older_than_seconds=-1) == [orphan.name]
    assert (await cloud.call("GET", f"/image/v2/images/{image_id}/file")).status == 200


async def test_a_deactivated_image_is_not_read(cloud: Client) -> None:
    image_id = await create(cloud)
    path = f"/image/v2/images/{image_id}"
    assert (await cloud.call("POST", f"{path}/actions/deactivate")).status == 403
    await upload(cloud, image_id, raw())
    assert (await cloud.call("POST", f"{path}/actions/deactivate")).status == 204
    assert (await show(cloud, image_id))["status"] == "deactivated"
    assert (await cloud.call("GET", f"{path}/file")).status == 403
    assert (await cloud.call("GET", f"{path}/file", token=ADMIN)).status == 200
    assert (await cloud.call("POST", f"{path}/actions/reactivate")).status == 204
    assert (await cloud.call("GET", f"{path}/file")).status == 200


async def test_a_hosts_token_reads_one_image_and_nothing_else(cloud: Client) -> None:
    """Security class 8: what is delegated to a host is less than anybody's own rights."""
    mine, other = await create(cloud, visibility="private"), await create(cloud, visibility="private")
    for image_id in (mine, other):
        await upload(cloud, image_id, raw())
    assert (await cloud.call("GET", f"/image/v2/images/{mine}/file", token=mine)).data == raw()
    assert (await cloud.call("GET", f"/image/v2/images/{other}/file", token=mine)).status == 404
    assert (await cloud.call("GET", f"/image/v2/images/{mine}", token=mine)).status == 403
    assert (await cloud.call("GET", "/image/v2/images", token=mine)).status == 403
    assert (await cloud.call("DELETE", f"/image/v2/images/{mine}", token=mine)).status == 403


async def test_a_server_boots_from_an_active_bare_disk_that_its_project_sees(cloud: Client, store: Store) -> None:
    image_id = await create(cloud, "qcow2", visibility="private", min_disk=3)
    with pytest.raises(BadRequest, match="not active"):
        await image_for_boot(store, image_id, project_id="p1", is_admin=False)
    await upload(cloud, image_id, qcow2(16 * MIB))
    image = await image_for_boot(store, image_id, project_id="p1", is_admin=False)
    assert (image.min_disk, image.virtual_size) == (3, 16 * MIB)
    source = image_source(image, "http://cloud/", "t")
    assert source.url == f"http://cloud/image/v2/images/{image_id}/file"
    assert (source.size, source.disk_format) == (image.size, "qcow2")
    for missing in (new_id(), "odd"):
        with pytest.raises(NotFound):
            await image_for_boot(store, missing, project_id="p1", is_admin=False)
    with pytest.raises(NotFound):
        await image_for_boot(store, image_id, project_id="p2", is_admin=False)
    other = await create(cloud, "iso")
    await upload(cloud, other, iso())
    with pytest.raises(BadRequest, match="unacceptable"):
        await image_for_boot(store, other, project_id="p1", is_admin=False)

"""Images on a host: what is accepted, what is fetched, what is kept."""

from __future__ import annotations

import asyncio
import struct
import subprocess
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web

from component.compute_agent.orders import image_source, spawn_order
from skybus.errors import CommandRefused, CommandTroubled
from skybus.messages.compute import ImageSource
from skybus_compute.guest_files import GIB, GuestFiles
from skybus_compute.image_cache import ImageCache
from skybus_compute.image_check import check_image, virtual_size

MIB = 1 << 20


class Gateway:
    """Serves what it is given, and counts."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.asked = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        if request.headers.get("X-Auth-Token") != "canary-image-token":
            return web.Response(status=401)
        data = self.data.get(request.match_info["name"])
        return web.Response(status=404) if data is None else web.Response(body=data)

    def image(self, data: bytes, served: bytes | None = None, **changes: Any) -> ImageSource:
        image = image_source(data, **changes)
        self.data[image.image_id] = data if served is None else served
        return image_source(data, **{"url": f"{self.url}/{image.image_id}", "image_id": image.image_id} | changes)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    app = web.Application()
    app.router.add_get("/{name}", gateway.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield gateway
    await runner.cleanup()


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[ImageCache]:
    cache = ImageCache(tmp_path / "images", 3 * MIB)
    await cache.start()
    yield cache
    await cache.close()


def kept(tmp_path: Path) -> list[str]:
    return sorted(path.name[:36] for path in (tmp_path / "images").iterdir())


def qcow2(path: Path, *options: str, size: str = "4M") -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, str(path), size], check=True)
    return path


async def test_a_hundred_boots_at_once_download_an_image_once(gateway: Gateway, cache: ImageCache) -> None:
    image = gateway.image(b"d" * MIB)
    paths = await asyncio.gather(*(cache.ensure(image) for _ in range(100)))
    assert gateway.asked == 1
    assert {path.read_bytes() for path in paths} == {b"d" * MIB}


async def test_a_boot_that_is_given_up_does_not_end_the_download_for_the_others(
    gateway: Gateway, cache: ImageCache
) -> None:
    image = gateway.image(b"d" * MIB)
    first = asyncio.create_task(cache.ensure(image))
    second = asyncio.create_task(cache.ensure(image))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).exists()
    assert gateway.asked == 1


@pytest.mark.parametrize(
    ("served", "expected"),
    [(b"e" * 1000, CommandRefused), (b"d" * 1001, CommandRefused), (b"d" * 999, CommandTroubled)],
    ids=["other data", "too long", "too short"],
)
async def test_data_that_is_not_what_was_promised_is_not_kept(
    gateway: Gateway, cache: ImageCache, tmp_path: Path, served: bytes, expected: type[Exception]
) -> None:
    image = gateway.image(b"d" * 1000, served=served)
    with pytest.raises(expected) as error:
        await cache.ensure(image)
    assert "canary" not in str(error.value)
    assert kept(tmp_path) == []
    gateway.data[image.image_id] = b"d" * 1000
    assert (await cache.ensure(image)).exists()


async def test_a_gateway_that_refuses_or_is_gone_is_trouble_and_an_image_that_is_gone_is_a_no(
    gateway: Gateway, cache: ImageCache
) -> None:
    with pytest.raises(CommandTroubled):
        await cache.ensure(gateway.image(b"x", token="wrong"))
    with pytest.raises(CommandTroubled):
        await cache.ensure(image_source(b"x", url="http://127.0.0.1:9/canary"))
    gone = gateway.image(b"x")
    gateway.data.clear()
    with pytest.raises(CommandRefused) as refused:
        await cache.ensure(gone)
    assert refused.value.code == "compute.image-refused"


async def test_the_least_recently_used_image_goes_first_and_one_in_use_never(
    gateway: Gateway, cache: ImageCache, tmp_path: Path
) -> None:
    images = [gateway.image(bytes([number]) * MIB) for number in range(5)]
    await cache.link(images[0], tmp_path / "base")
    for image in images[1:3]:
        await cache.ensure(image)
    await cache.ensure(images[1])
    await cache.ensure(images[3])
    assert kept(tmp_path) == sorted(images[number].image_id for number in (0, 1, 3))
    await cache.ensure(images[4])
    assert kept(tmp_path) == sorted(images[number].image_id for number in (0, 3, 4))
    assert (tmp_path / "base").read_bytes() == bytes([0]) * MIB


async def test_half_a_download_does_not_outlive_a_crash(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x.part").write_bytes(b"half")
    cache = ImageCache(tmp_path / "images", MIB)
    await cache.start()
    assert kept(tmp_path) == []


async def test_good_images_pass(tmp_path: Path) -> None:
    path = qcow2(tmp_path / "good.qcow2")
    await check_image(path, "qcow2")
    assert virtual_size(path, "qcow2") == 4 * MIB
    await check_image(qcow2(tmp_path / "old.qcow2", "-o", "compat=0.10"), "qcow2")
    raw = tmp_path / "good.raw"
    raw.write_bytes(b"\0" * 1024)
    await check_image(raw, "raw")
    assert virtual_size(raw, "raw") == 1024


async def test_an_image_that_refers_to_another_file_is_refused(tmp_path: Path) -> None:
    base = qcow2(tmp_path / "base.qcow2")
    backed = qcow2(tmp_path / "backed.qcow2", "-b", str(base), "-F", "qcow2")
    data = qcow2(tmp_path / "data.qcow2", "-o", f"data_file={tmp_path / 'data.raw'},data_file_raw=on")
    for path in (backed, data):
        with pytest.raises(CommandRefused) as refused:
            await check_image(path, "qcow2")
        assert refused.value.code == "compute.image-refused"
        assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize("disk_format", ["qcow2", "vmdk", "vdi", "vpc", "vhdx", "qed", "parallels"])
async def test_a_raw_image_that_looks_like_another_format_is_refused(tmp_path: Path, disk_format: str) -> None:
    path = tmp_path / "image"
    subprocess.run(["qemu-img", "create", "-q", "-f", disk_format, str(path), "4M"], check=True)
    with pytest.raises(CommandRefused):
        await check_image(path, "raw")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"QFI\xfb",
        b"x" * 4096,
        b"QFI\xfb" + struct.pack(">I", 99) + b"\0" * 4096,
        b"QFI\xfb\0\0\0\3" + b"\xff" * 4096,
    ],
    ids=["nothing", "magic alone", "text", "unknown version", "wild header"],
)
async def test_what_is_no_qcow2_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "image"
    path.write_bytes(data)
    with pytest.raises(CommandRefused):
        await check_image(path, "qcow2")


async def test_a_guests_disk_has_the_flavors_size_or_else_the_images(
    gateway: Gateway, cache: ImageCache, tmp_path: Path
) -> None:
    image = gateway.image(qcow2(tmp_path / "image", size="1536M").read_bytes(), disk_format="qcow2")
    for disk_gib, size in ((0, 1536 * MIB), (2, 2 * GIB)):
        order = spawn_order(image=image, disk_gib=disk_gib, config_drive=True)
        files = GuestFiles.of(tmp_path / "guests", order.server_id)
        await files.make(order, cache)
        await files.make(order, cache)
        assert virtual_size(files.base, "qcow2") == 1536 * MIB
        assert struct.unpack_from(">Q", files.disk.read_bytes(), 24) == (size,)
        assert sorted(path.name for path in files.folder.iterdir()) == ["base", "config.iso", "disk.qcow2"]
        await files.remove()
        await files.remove()
        assert not files.folder.exists()
    with pytest.raises(CommandRefused):
        await GuestFiles.of(tmp_path / "guests", order.server_id).make(spawn_order(image=image, disk_gib=1), cache)


def test_the_console_is_read_across_a_rotation(tmp_path: Path) -> None:
    files = GuestFiles(tmp_path)
    assert files.read_console(10) == b""
    files.console.write_bytes(b"new")
    files.console.with_name("console.log.0").write_bytes(b"older")
    assert files.read_console(100) == b"oldernew"
    assert files.read_console(5) == b"ernew"
    assert files.read_console(2) == b"ew"


async def test_the_images_token_is_in_no_log_and_no_error(gateway: Gateway, cache: ImageCache) -> None:
    errors: list[str] = []
    with structlog.testing.capture_logs() as logs:
        for image in (
            gateway.image(b"x", served=b"y"),
            gateway.image(b"xx", served=b"y"),
            gateway.image(b"QFI\xfb"),
            gateway.image(b"good"),
            image_source(b"x", url="http://127.0.0.1:9/canary"),
        ):
            try:
                await cache.ensure(image)
            except (CommandRefused, CommandTroubled) as error:
                errors += traceback.format_exception(error)
    assert logs
    assert errors
    assert "canary" not in "".join(errors)
    assert "canary" not in repr(logs)

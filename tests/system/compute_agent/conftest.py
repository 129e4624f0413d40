"""A real hypervisor for the compute agent: private libvirtd, tgtd, and a guest that says what it sees."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import web
from private_libvirt import PrivateLibvirt, wait_until
from rig import Rig
from tiny_guest import build_tiny_guest

from skybus.config import Compute, Config, Host
from skybus.messages.compute import DestroyGuest

TOKEN = "canary-image-token"


@pytest.fixture(scope="session")
def guest_image() -> Iterator[bytes]:
    """The tiny guest's image, as qcow2."""
    folder = Path(tempfile.mkdtemp(prefix="skycompute-image-"))
    try:
        yield build_tiny_guest(folder).read_bytes()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def private_libvirt() -> Iterator[PrivateLibvirt]:
    """One libvirtd for all tests here."""
    libvirt = PrivateLibvirt()
    try:
        libvirt.start()
        yield libvirt
    finally:
        libvirt.stop()


@pytest.fixture(scope="session")
def iscsi(private_libvirt: PrivateLibvirt) -> PrivateLibvirt:
    """The same namespaces with a tgtd in them."""
    private_libvirt.inside(["tgtd", "-f", "--iscsi", "portal=127.0.0.1:3260"], "tgtd")

    def answers() -> bool:
        with contextlib.suppress(AssertionError):
            private_libvirt.call(["tgtadm", "--lld", "iscsi", "--op", "show", "--mode", "sys"])
            return True
        return False

    wait_until("tgtd answers", answers, 10)
    return private_libvirt


@pytest.fixture
async def image_url(guest_image: bytes) -> AsyncIterator[str]:
    """A gateway that knows one image."""

    async def serve(request: web.Request) -> web.Response:
        if request.headers.get("X-Auth-Token") != TOKEN:
            return web.Response(status=401)
        return web.Response(body=guest_image)

    app = web.Application()
    app.router.add_get("/image", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/image"
    finally:
        await runner.cleanup()


@pytest.fixture
async def rig(private_libvirt: PrivateLibvirt, image_url: str, guest_image: bytes) -> AsyncIterator[Rig]:
    """A started agent with an empty state folder; its guests are destroyed at the end."""
    state_dir = private_libvirt.folder / f"host-{uuid4().hex[:8]}"
    config = Config(
        host=Host(name="host-t", address="127.0.0.1", state_dir=state_dir),
        compute=Compute(libvirt_uri=private_libvirt.uri, virt_type="qemu"),
    )
    rig = Rig(private_libvirt, config, image_url, guest_image)
    agent = rig.agent
    try:
        await agent.start(rig.tell)
        yield rig
    finally:
        for guest in await agent.hypervisor.guests():
            await agent.destroy(DestroyGuest(server_id=guest.server_id))
        await agent.close()
        for tap in rig.taps:
            subprocess.run([*private_libvirt.entering(), "ip", "link", "del", tap], check=False, capture_output=True)
        shutil.rmtree(state_dir)

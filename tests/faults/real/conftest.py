"""Clouds to be shaken, and users in them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from churn import Churn, Client
from real_cloud import RealCloud
from shaken_cloud import ShakenCloud
from standing import Standing
from times import Times, table
from visitors import Visitors

DISK = "8G"
"""Size of the file system that the real cloud has for itself, so that a test may fill it."""
TIMES = pytest.StashKey[list[Times]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The long forms, for `ops/chaos`."""
    group = parser.getgroup("faults")
    group.addoption("--campaign", action="store_true", help="all faults, not only those that ops/test tries")
    group.addoption("--without-control", type=float, default=45, help="seconds that guests live without control plane")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What belongs to the campaign alone is left to it."""
    if not config.getoption("--campaign", default=False):
        rest = [item for item in items if item.get_closest_marker("campaign")]
        if rest:
            config.hook.pytest_deselected(items=rest)
            items[:] = [item for item in items if item not in rest]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table."""
    if times := config.stash.get(TIMES, []):
        terminalreporter.section("seconds from the fault until all was normal again")
        for line in table(times):
            terminalreporter.write_line(line)


@pytest.fixture
def note_times(pytestconfig: pytest.Config) -> Callable[[Times], None]:
    """Adds a row to the table."""
    return pytestconfig.stash.setdefault(TIMES, []).append


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder for a cloud. Sockets lie below it: its path has to be short, and pytest's own folders are not."""
    path = Path(tempfile.mkdtemp(prefix="shake-", dir=os.environ.get("SKYBUS_TEST_FOLDER")))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
async def cloud() -> AsyncIterator[ShakenCloud]:
    """A simulated cloud of processes, with ports of its own."""
    with folder() as path:
        made = ShakenCloud(path / "c")
        try:
            await made.up()
            yield made
        finally:
            await made.down()


@pytest.fixture
async def churn(cloud: ShakenCloud) -> AsyncIterator[Churn]:
    """Users who are ready to begin."""
    async with logged_in(cloud) as client:
        made = Churn(client, random.Random())
        await made.prepare()
        yield made


@contextlib.asynccontextmanager
async def logged_in(cloud: ShakenCloud) -> AsyncIterator[Client]:
    """A client that has a token."""
    connector, patience = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(connector=connector, timeout=patience) as http:
        client = Client(http, cloud.state / "clouds.yaml")
        await client.login()
        yield client


@contextlib.contextmanager
def own_disk(path: Path) -> Iterator[Path]:
    """A small file system of its own; what lies in it takes room only as it is written."""
    file, mount = path / "disk", path / "m"
    mount.mkdir()
    subprocess.run(["truncate", "-s", DISK, file], check=True, timeout=30)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", file], check=True, timeout=60)
    subprocess.run(["mount", "-o", "loop", file, mount], check=True, timeout=30)
    mount.chmod(0o711)
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True, timeout=60)


@pytest.fixture(scope="session")
def real() -> Iterator[RealCloud]:
    """One real cloud for all faults, on a disk of its own, with two guests that stand."""
    with folder() as path, own_disk(path) as disk:
        made = RealCloud(disk / "c")
        try:
            asyncio.run(made.up())
            yield made
        finally:
            asyncio.run(made.down())


@pytest.fixture(scope="session")
def standing_ids() -> dict[str, Standing]:
    """The standing guests, once they are built: they outlive the client that built them."""
    return {}


@pytest.fixture
async def standing(real: RealCloud, standing_ids: dict[str, Standing]) -> AsyncIterator[Standing]:
    """Two guests that stand through everything."""
    async with logged_in(real) as client:
        if "them" not in standing_ids:
            standing_ids["them"] = await Standing(real, client).build()
        standing_ids["them"].client = client
        yield standing_ids["them"]


@pytest.fixture
async def visitors(standing: Standing) -> AsyncIterator[Visitors]:
    """Users who are ready to begin."""
    made = Visitors(standing.client, standing, random.Random())
    await made.prepare()
    yield made
    await standing.client.call("DELETE", "image", f"/images/{made.image}")

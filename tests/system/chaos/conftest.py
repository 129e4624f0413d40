"""A cloud to be shaken, and users in it."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from churn import Churn, Client
from shaken_cloud import ShakenCloud


@pytest.fixture
async def cloud() -> AsyncIterator[ShakenCloud]:
    """A simulated cloud of processes, beside the one of `ops/test` where there is one, with ports of its own."""
    beside = os.environ.get("SKYBUS_TEST_STATE")
    # Sockets lie below the folder: its path has to be short, and pytest's own folders are not.
    folder = Path(tempfile.mkdtemp(prefix="shake-", dir=Path(beside).parent if beside else None))
    folder.chmod(0o711)
    made = ShakenCloud(folder / "c")
    try:
        await made.up()
        yield made
    finally:
        await made.down()
        shutil.rmtree(folder)


@pytest.fixture
async def churn(cloud: ShakenCloud) -> AsyncIterator[Churn]:
    """Users who are ready to begin."""
    connector, patience = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(connector=connector, timeout=patience) as http:
        client = Client(http, cloud.state / "clouds.yaml")
        await client.login()
        made = Churn(client, random.Random())
        await made.prepare()
        yield made

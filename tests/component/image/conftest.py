"""An image service with a folder of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skybus.http.caller import Caller
from skybus.ids import is_uuid
from skybus.image.api import api
from skybus.image.policies import RULES
from skybus.image.store_fs import FsStore
from skybus.store import Store
from support.front import Client, front, made_up


async def made_up_or_host(token: str) -> Caller:
    """A token that is an image's id is a host's, good for that image alone."""
    if is_uuid(token):
        return Caller(user_id="host", roles=frozenset({"service"}), image_id=token)
    return await made_up(token)


@pytest.fixture
def images(tmp_path: Path) -> FsStore:
    """An image store that takes at most 8 MiB."""
    return FsStore(tmp_path / "images", max_bytes=8 << 20)


@pytest.fixture
async def cloud(store: Store, images: FsStore) -> AsyncIterator[Client]:
    """A gateway with the image API alone."""
    services = {"store": store, "images": images}
    async with front([api()], RULES, services, authenticate=made_up_or_host) as client:
        yield client

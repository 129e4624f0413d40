"""Fixtures of the component tests: real Postgres, one database a test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from skybus.store import Store
from support.databases import opened_store


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    """A store over a migrated database of this test's own."""
    async with opened_store() as opened:
        yield opened

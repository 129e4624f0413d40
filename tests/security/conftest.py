"""Fixtures of the security tests; the machinery of `ops/`, which hands out accounts, is no installed package."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skybus.store import Store
from support.databases import opened_store

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "ops"))


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    """A store over a migrated database of this test's own."""
    async with opened_store() as opened:
        yield opened

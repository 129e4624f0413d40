"""Every statement of the network and metering packages fits the migrated schema."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType

import pytest

import skybus.metering
import skybus.network
from skybus.store import Store

VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE")


def statements(package: ModuleType) -> list[tuple[str, str]]:
    """(place, SQL) of each constant that begins as a statement does."""
    found = []
    for info in pkgutil.iter_modules(package.__path__):
        module = import_module(f"{package.__name__}.{info.name}")
        for name, value in vars(module).items():
            if name.isupper() and isinstance(value, str) and value.lstrip().startswith(VERBS):
                found.append((f"{info.name}.{name}", value))
    return found


@pytest.mark.parametrize("package", [skybus.network, skybus.metering], ids=lambda package: package.__name__)
async def test_every_statement_can_be_prepared(store: Store, package: ModuleType) -> None:
    found = statements(package)
    assert len(found) > 4
    async with store.connection() as conn:
        for place, sql in found:
            assert await conn.prepare(sql) is not None, place

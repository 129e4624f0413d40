"""A store that counts what is asked of it."""

from __future__ import annotations

from typing import Any

from skybus.store import Store


class Counting:
    """A store that counts what is asked of it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.asked: list[str] = []

    async def fetch(self, sql: str, *args: Any) -> Any:
        """All rows."""
        self.asked.append(sql)
        return await self.store.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> Any:
        """The first row."""
        self.asked.append(sql)
        return await self.store.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """One value."""
        self.asked.append(sql)
        return await self.store.fetchval(sql, *args)

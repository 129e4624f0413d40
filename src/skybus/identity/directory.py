"""Names and the catalog, read through memory: what a token's answer shows beside what the token says.

Everything here is dropped when an identity event arrives, and when a look at the database finds that identity has
changed: before each login, and by the watch. What was being read at that moment may be older and is not kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from skybus.identity.catalog.catalog import Catalog, catalog_read, catalog_view
from skybus.identity.delegation.application_credentials import credential_find
from skybus.identity.federation.service_providers import service_providers_enabled
from skybus.identity.people.users import user_find
from skybus.identity.projects.projects import project_find
from skybus.messages.identity import TokensRevoked
from skybus.store import Store

T = TypeVar("T")
ROLES = "SELECT id, name FROM identity.role WHERE domain_id IS NULL"
MOST = 10_000
"""Entries in memory."""
MOST_BODIES = 1_000


class Directory:
    """Reads of users, projects, roles and the catalog through memory."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._generation = 0
        self._kept: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._bodies: OrderedDict[tuple[str, bool], bytes] = OrderedDict()
        self._catalogs: OrderedDict[tuple[str, str | None], msgspec.Raw] = OrderedDict()

    async def apply_event(self, kind: str, body: dict[str, Any]) -> None:
        """Take note of an identity event, whichever process caused it."""
        # Revocations change no name; what they concern is refused before it is looked up here.
        if kind != TokensRevoked.TYPE:
            self.forget()

    def forget(self) -> None:
        """Read everything anew: something of it was changed."""
        self._generation += 1
        self._kept.clear()
        self._bodies.clear()
        self._catalogs.clear()

    async def user(self, user_id: str) -> Any | None:
        """The user's row, or None."""
        return await self._read("user", user_id, lambda: user_find(self.store, user_id))

    async def project(self, project_id: str) -> Any | None:
        """The row of a project or domain, or None."""
        return await self._read("project", project_id, lambda: project_find(self.store, project_id))

    async def roles(self) -> dict[str, str]:
        """Role ids by name."""
        return await self._read("roles", "", self._roles)

    async def catalog(self) -> Catalog:
        """What catalogs are made from."""
        return await self._read("catalog", "", lambda: catalog_read(self.store))

    async def service_providers(self) -> list[dict[str, str]]:
        """The clouds that trust this one, as tokens show them."""
        return await self._read("service_providers", "", lambda: service_providers_enabled(self.store))

    async def application_credential(self, credential_id: str) -> Any | None:
        """The row of an application credential, or None."""
        return await self._read(
            "application_credential", credential_id, lambda: credential_find(self.store, credential_id)
        )

    async def catalog_json(self, user_id: str, project_id: str | None) -> msgspec.Raw:
        """The catalog as one caller sees it, encoded."""
        key = (user_id, project_id)
        if key in self._catalogs:
            return self._catalogs[key]
        generation = self._generation
        made = await self._catalog(user_id, project_id)
        if generation == self._generation:
            self._catalogs[key] = made
            if len(self._catalogs) > MOST_BODIES:
                self._catalogs.popitem(last=False)
        return made

    async def _catalog(self, user_id: str, project_id: str | None) -> msgspec.Raw:
        view = catalog_view(await self.catalog(), user_id=user_id, project_id=project_id)
        return msgspec.Raw(msgspec.json.encode(view))

    async def _roles(self) -> dict[str, str]:
        return {row["name"]: row["id"] for row in await self.store.fetch(ROLES)}

    async def body(self, token: str, brief: bool, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """The rendered answer about `token`; `make` makes it when it is not in memory."""
        key = (token, brief)
        found = self._bodies.get(key)
        if found is not None:
            return found
        generation = self._generation
        made = await make()
        if generation == self._generation:
            self._bodies[key] = made
            if len(self._bodies) > MOST_BODIES:
                self._bodies.popitem(last=False)
        return made

    async def _read(self, kind: str, identifier: str, read: Callable[[], Awaitable[T]]) -> T:
        key = (kind, identifier)
        if key in self._kept:
            kept: T = self._kept[key]
            return kept
        generation = self._generation
        value = await read()
        if generation == self._generation and value is not None:
            self._kept[key] = value
            if len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return value

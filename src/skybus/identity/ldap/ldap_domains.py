"""Which domains have their users in a directory, and what that means for whoever asks about those users.

A domain's directory may be away: who asks about its users then gets 503, and nobody else notices.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import structlog

from skybus.errors import Forbidden, Unavailable
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.identity.ldap import ldap_mirror as mirror
from skybus.identity.ldap.domain_config import directory_options, opened
from skybus.identity.ldap.ldap_directory import LdapDirectory, Person, Team, folded
from skybus.identity.ldap.ldap_settings import SettingsError, settings_of
from skybus.identity.login.login_memory import change_count
from skybus.identity.people.groups import group_find
from skybus.identity.people.users import user_find
from skybus.identity.rows import missing
from skybus.messages.identity import DomainDeleted, DomainUpdated
from skybus.messages.identity_federation import DomainConfigChanged
from skybus.store import Tx

log = structlog.get_logger()

LOOK_SECONDS = 15.0
"""After this the settings are read again, should an event have been lost."""
READ_ONLY = "LDAP does not support write operations"
ENTRY = "SELECT domain_id, kind, local_id, gone FROM identity.directory_entry WHERE id = $1"
NOT_GONE = "{column} NOT IN (SELECT id FROM identity.directory_entry WHERE gone)"
OURS = "{column} IN (SELECT id FROM identity.directory_entry WHERE NOT gone)"
_PUBLIC_ID = re.compile(r"[0-9a-f]{64}")
_RELOAD = (DomainConfigChanged.TYPE, DomainUpdated.TYPE, DomainDeleted.TYPE)

Apply = Callable[[str, dict[str, Any]], Awaitable[None]]
Row = Any


class LdapDomains:
    """The directories of all domains, as one process knows them."""

    def __init__(self, store: Any, keys: Callable[[], CredentialKeys] = CredentialKeys) -> None:
        self.store = store
        self._keys = keys
        self.apply: Apply | None = None
        """Takes note of events that are caused here."""
        self._known: dict[str, tuple[str, bytes, LdapDirectory | None]] = {}
        self._fresh_until = 0.0

    def close(self) -> None:
        """Give the connections back."""
        for _, _, directory in self._known.values():
            if directory is not None:
                directory.close()
        self._known = {}

    def apply_event(self, kind: str) -> None:
        """Take note of an identity event."""
        if kind in _RELOAD:
            self._fresh_until = 0.0

    # --- which domains

    async def ids(self) -> list[str]:
        """The domains that have a directory."""
        await self._look()
        return list(self._known)

    async def directory(self, domain_id: str | None) -> LdapDirectory | None:
        """The domain's directory, or None. Raises Unavailable when its settings cannot be used."""
        await self._look()
        if domain_id is None or domain_id not in self._known:
            return None
        directory = self._known[domain_id][2]
        if directory is None:
            raise Unavailable("The settings of this domain's directory cannot be used.")
        return directory

    async def named(self, domain_name: str) -> str | None:
        """The id of the domain of this name, if it has a directory."""
        await self._look()
        return next((key for key, (name, _, _) in self._known.items() if name == domain_name), None)

    async def refuse_write(self, *domain_ids: str | None) -> None:
        """Raises Forbidden when one of the domains has a directory."""
        await self._look()
        if any(domain_id in self._known for domain_id in domain_ids):
            raise Forbidden(READ_ONLY)

    async def refuse_member(self, group_id: str, user_id: str) -> None:
        """Raises Forbidden when the group or the user is a directory's: who is in its groups, it says alone."""
        for identifier in (group_id, user_id):
            entry = await self.entry(identifier)
            if entry is not None:
                await self.refuse_write(entry["domain_id"])

    async def _look(self) -> None:
        if time.monotonic() < self._fresh_until:
            return
        fresh_until = time.monotonic() + LOOK_SECONDS
        self._fresh_until = fresh_until
        try:
            found = await directory_options(self.store)
        except BaseException:
            self._fresh_until = 0.0
            raise
        for domain_id in self._known.keys() - found.keys():
            self._drop(domain_id)
        for domain_id, (name, rows) in found.items():
            mark = msgspec.msgpack.encode([[row["section"], row["name"], row["value"], row["sealed"]] for row in rows])
            known = self._known.get(domain_id)
            if known is None or known[:2] != (name, mark) or known[2] is None:
                self._drop(domain_id)
                self._known[domain_id] = (name, mark, self._made(domain_id, rows))

    def _made(self, domain_id: str, rows: Iterable[Row]) -> LdapDirectory | None:
        try:
            settings = settings_of(opened(rows, self._keys()))
        except (SettingsError, Unavailable) as error:
            log.error("directory_settings_unusable", domain_id=domain_id, reason=str(error))
            return None
        return LdapDirectory(settings) if settings is not None else None

    def _drop(self, domain_id: str) -> None:
        known = self._known.pop(domain_id, None)
        if known is not None and known[2] is not None:
            known[2].close()

    # --- users

    async def listed_users(self, domain_id: str | None, query: Mapping[str, str], where: Any) -> None:
        """Have a domain's users up to date before they are listed, and show none that its directory has no more."""
        directory = await self.directory(domain_id)
        if directory is None or domain_id is None:
            if self._known:
                where.add(NOT_GONE.format(column="u.id"))
            return
        if "name" in query:
            person = await directory.user_by_name(query["name"])
            await self.take_in(domain_id, [person] if person is not None else [])
        else:
            people = await directory.users()
            await self.take_in(domain_id, people.items, whole=people.whole)
        where.add(OURS.format(column="u.id"))

    async def current_user(self, user: Row | None) -> Row | None:
        """The user's row as its directory has it now; any other row as it is. Raises NotFound, Unavailable."""
        if user is None or _PUBLIC_ID.fullmatch(user["id"]) is None:
            return user
        directory, entry = await self._entry(user["id"], user["domain_id"])
        if directory is None or entry is None:
            return user
        found = await directory.users_by_id([entry["local_id"]])
        if not found:
            async with self.writing() as tx:
                await mirror.users_gone(tx, user["domain_id"], [user["id"]])
            raise missing("user", user["id"])
        await self.take_in(user["domain_id"], found)
        return await user_find(self.store, user["id"])

    async def current_groups(self, user: Row) -> None:
        """Have the groups of a user up to date."""
        directory, entry = await self._entry(user["id"], user["domain_id"])
        if directory is None or entry is None:
            return
        found = await directory.users_by_id([entry["local_id"]])
        if found:
            await self.take_in_with_groups(user["domain_id"], directory, found[0])

    async def take_in(self, domain_id: str, people: list[Person], *, whole: bool = False) -> None:
        """Write what the directory says of these users, where it is new."""
        if people or whole:
            async with self.writing() as tx:
                await mirror.users_mirror(tx, domain_id, people, whole=whole)

    async def take_in_with_groups(self, domain_id: str, directory: LdapDirectory, person: Person) -> str:
        """Write what the directory says of a user and of its groups, where it is new; the user's id."""
        teams = await directory.groups_of(person)
        user_id = mirror.public_id(domain_id, "user", person.local_id)
        async with self.writing() as tx:
            await mirror.users_mirror(tx, domain_id, [person])
            await mirror.groups_mirror(tx, domain_id, teams.items)
            if teams.whole:
                known = await mirror.groups_known(tx, domain_id, [one.local_id for one in teams.items])
                await mirror.user_groups_mirror(tx, domain_id, user_id, known)
        return user_id

    # --- groups

    async def listed_groups(self, domain_id: str | None, where: Any) -> None:
        """Have a domain's groups up to date before they are listed, and show none that its directory has no more."""
        directory = await self.directory(domain_id)
        if directory is None or domain_id is None:
            if self._known:
                where.add(NOT_GONE.format(column="g.id"))
            return
        teams = await directory.groups()
        async with self.writing() as tx:
            await mirror.groups_mirror(tx, domain_id, teams.items, whole=teams.whole)
        where.add(OURS.format(column="g.id"))

    async def current_group(self, group: Row | None, *, members: bool = False) -> Row | None:
        """The group's row as its directory has it now, and its members on demand; any other row as it is. Raises
        NotFound, Unavailable."""
        if group is None or _PUBLIC_ID.fullmatch(group["id"]) is None:
            return group
        domain_id = group["domain_id"]
        directory, entry = await self._entry(group["id"], domain_id)
        if directory is None or entry is None:
            return group
        found = await directory.groups_by_id([entry["local_id"]])
        if not found:
            async with self.writing() as tx:
                await mirror.groups_gone(tx, domain_id, [group["id"]])
            raise missing("group", group["id"])
        people = await self._members(directory, found[0]) if members else []
        async with self.writing() as tx:
            await mirror.groups_mirror(tx, domain_id, found)
            if members:
                await mirror.users_mirror(tx, domain_id, people)
                known = await mirror.users_known(tx, domain_id, [one.local_id for one in people])
                await mirror.group_users_mirror(tx, domain_id, group["id"], known)
        return await group_find(self.store, group["id"])

    async def _members(self, directory: LdapDirectory, team: Team) -> list[Person]:
        people = await directory.users()
        if directory.settings.members_are_ids:
            wanted = set(team.members)
            return [one for one in people.items if one.local_id in wanted]
        wanted = {folded(member) for member in team.members}
        return [one for one in people.items if folded(one.dn) in wanted]

    # --- rows

    async def _entry(self, identifier: str, domain_id: str) -> tuple[LdapDirectory | None, Row | None]:
        directory = await self.directory(domain_id)
        if directory is None:
            return None, None
        return directory, await self.store.fetchrow(ENTRY, identifier)

    async def entry(self, identifier: str) -> Row | None:
        """What is known of an entry by its public id, or None; asks nobody where no domain has a directory."""
        await self._look()
        if not self._known or _PUBLIC_ID.fullmatch(identifier) is None:
            return None
        return await self.store.fetchrow(ENTRY, identifier)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Tx]:
        """A transaction whose events this process applies to its memory. Raises Unavailable when somebody of ours took
        a name in the same moment."""
        try:
            async with self.store.transaction() as tx:
                yield tx
                if tx.posts:
                    await change_count(tx)
        except (asyncpg.UniqueViolationError, asyncpg.ForeignKeyViolationError) as error:
            raise Unavailable("The domain changed in the same moment. Please try again.") from error
        for post in tx.posts:
            if self.apply is not None:
                await self.apply(post.envelope.type, msgspec.json.decode(post.envelope.body))

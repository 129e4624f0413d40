"""What we ask a directory: who somebody is, in which groups, whether a password is right. It is never written to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

import msgspec

from skybus.identity.ldap import ldap_filters as filters
from skybus.identity.ldap.ldap_ber import octets, sequence
from skybus.identity.ldap.ldap_connection import BASE, ONE, SUBTREE, Connection, Entry, Found, WrongPassword
from skybus.identity.ldap.ldap_pool import LdapPool
from skybus.identity.ldap.ldap_settings import LdapSettings

MOST = 10_000
"""Users or groups that are read at once."""
MOST_GROUPS = 1_000
"""Of one user."""
AT_ONCE = 50
"""Users that one question asks about."""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A user, as the directory has it."""

    dn: str
    local_id: str
    name: str
    enabled: bool
    email: str | None = None
    description: str | None = None
    default_project_id: str | None = None
    more: dict[str, str] = {}


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """A group, as the directory has it."""

    dn: str
    local_id: str
    name: str
    description: str = ""
    members: tuple[str, ...] = ()
    """Names, or ids where the directory lists those."""


class LdapDirectory:
    """One directory. Every question raises Unavailable when it is not answered in time."""

    def __init__(self, settings: LdapSettings) -> None:
        self.settings = settings
        self.pool = LdapPool(settings)

    def close(self) -> None:
        """Give the connections back."""
        self.pool.close()

    # --- users

    async def user_by_name(self, name: str) -> Person | None:
        """The user of this name, or None; also None for a name that two users have."""
        found = (await self._users(filters.equals(self.settings.user_name, name), 2)).items
        return found[0] if len(found) == 1 else None

    async def users_by_id(self, local_ids: Sequence[str]) -> list[Person]:
        """Those of these users that there are."""
        found: list[Person] = []
        for start in range(0, len(local_ids), AT_ONCE):
            some = local_ids[start : start + AT_ONCE]
            wanted = filters.either(filters.equals(self.settings.user_id, one) for one in some)
            found += (await self._users(wanted, len(some) + 1)).items
        return found

    async def users(self) -> Found[Person]:
        """All users, never more than MOST."""
        return await self._users(None, MOST)

    async def is_password(self, person: Person | None, password: str) -> bool:
        """Whether the directory lets this user in with the password. For nobody it is asked about a name that it does
        not have, so that the work and the answer are the same."""
        settings = self.settings
        dn = (
            person.dn if person is not None else f"{settings.user_id}=nobody-{os.urandom(8).hex()},{settings.user_tree}"
        )
        async with self.pool.fresh() as connection:
            try:
                await connection.bind(dn, password)
            except WrongPassword:
                return False
        return person is not None

    async def _users(self, wanted: bytes | None, most: int) -> Found[Person]:
        settings = self.settings
        parts = [filters.equals("objectClass", settings.user_class)]
        parts += [one for one in (settings.user_filter, wanted) if one is not None]
        async with self.pool.connection() as connection:
            entries = await self._search(
                connection, settings.user_tree, filters.both(*parts), self._user_fields(), most
            )
            enabled = await self._emulated(connection) if settings.enabled_group else None
        people = [person for entry in entries.items if (person := self._person(entry, enabled)) is not None]
        return Found(people, entries.whole)

    def _user_fields(self) -> list[str]:
        settings = self.settings
        fields = [settings.user_id, settings.user_name, settings.user_mail, settings.user_description]
        fields += [settings.user_enabled, settings.user_project or "", *(theirs for theirs, _ in settings.user_more)]
        return [name for name in dict.fromkeys(fields) if name]

    def _person(self, entry: Entry, enabled: set[str] | None) -> Person | None:
        settings = self.settings
        ids = entry.attributes.get(settings.user_id.lower(), [])
        name = entry.first(settings.user_name)
        # An id that is ambiguous is none.
        if len(ids) != 1 or not name or len(name) > 255 or len(ids[0]) > 255:
            return None
        return Person(
            dn=entry.dn,
            local_id=ids[0],
            name=name,
            enabled=folded(entry.dn) in enabled if enabled is not None else self._enabled(entry),
            email=entry.first(settings.user_mail) if settings.user_mail else None,
            description=entry.first(settings.user_description) if settings.user_description else None,
            default_project_id=entry.first(settings.user_project) if settings.user_project else None,
            more={ours: value for theirs, ours in settings.user_more if (value := entry.first(theirs)) is not None},
        )

    def _enabled(self, entry: Entry) -> bool:
        settings = self.settings
        said = entry.first(settings.user_enabled) if settings.user_enabled else None
        said = settings.enabled_default if said is None else said
        if settings.enabled_mask:
            # A number that cannot be read says nothing good of anybody.
            return said.lstrip("-").isdecimal() and int(said) & settings.enabled_mask != settings.enabled_mask
        return (said.lower() == "true") != settings.enabled_invert

    async def _emulated(self, connection: Connection) -> set[str]:
        """The names of the members of the group of enabled users."""
        settings = self.settings
        group = settings.enabled_group or ""
        found = await connection.search(group, BASE, filters.present("objectClass"), [settings.group_member], most=1)
        members = found.items[0].attributes.get(settings.group_member.lower(), []) if found.items else []
        return {folded(member) for member in members}

    # --- groups

    async def groups(self) -> Found[Team]:
        """All groups with their members, never more than MOST."""
        return await self._groups(None, MOST)

    async def groups_by_id(self, local_ids: Sequence[str]) -> list[Team]:
        """Those of these groups that there are."""
        wanted = filters.either(filters.equals(self.settings.group_id, one) for one in local_ids[:AT_ONCE])
        return (await self._groups(wanted, len(local_ids) + 1)).items

    async def groups_of(self, person: Person) -> Found[Team]:
        """The groups that a user is in."""
        settings = self.settings
        member = person.local_id if settings.members_are_ids else person.dn
        if settings.member_rule is not None:
            named = (octets(settings.member_rule, 0x81), octets(settings.group_member, 0x82), octets(member, 0x83))
            return await self._groups(sequence(*named, tag=filters.MATCHES), MOST_GROUPS, members=False)
        return await self._groups(filters.equals(settings.group_member, member), MOST_GROUPS, members=False)

    async def _groups(self, wanted: bytes | None, most: int, *, members: bool = True) -> Found[Team]:
        settings = self.settings
        parts = [filters.equals("objectClass", settings.group_class)]
        parts += [one for one in (settings.group_filter, wanted) if one is not None]
        fields = [settings.group_id, settings.group_name, settings.group_description]
        fields += [settings.group_member] if members else []
        async with self.pool.connection() as connection:
            entries = await self._search(connection, settings.group_tree, filters.both(*parts), fields, most)
        teams = [team for entry in entries.items if (team := self._team(entry)) is not None]
        return Found(teams, entries.whole)

    def _team(self, entry: Entry) -> Team | None:
        settings = self.settings
        ids = entry.attributes.get(settings.group_id.lower(), [])
        name = entry.first(settings.group_name)
        if len(ids) != 1 or not name or len(name) > 255 or len(ids[0]) > 255:
            return None
        return Team(
            dn=entry.dn,
            local_id=ids[0],
            name=name,
            description=entry.first(settings.group_description) or "",
            members=tuple(entry.attributes.get(settings.group_member.lower(), ())),
        )

    async def _search(
        self, connection: Connection, tree: str, wanted: bytes, fields: Iterable[str], most: int
    ) -> Found[Entry]:
        scope = SUBTREE if self.settings.subtree else ONE
        names = [name for name in dict.fromkeys(fields) if name]
        return await connection.search(tree, scope, wanted, names, most=most, page_size=self.settings.page_size)


_DN_PART = re.compile(rb"\\([0-9a-fA-F]{2})|\\(.)|\s*([,+=])\s*", re.DOTALL)


def folded(dn: str) -> str:
    """A name as it compares with another spelling of itself: capitals, blanks around separators, and ways to escape a
    letter mean nothing."""

    def plain(match: re.Match[bytes]) -> bytes:
        if match.group(3) is not None:
            return b"\x00" + match.group(3)
        return bytes.fromhex(match.group(1).decode()) if match.group(1) is not None else match.group(2)

    return _DN_PART.sub(plain, dn.strip().encode()).decode("utf-8", "replace").lower()

"""Authentication by a password that a directory knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skybus.errors import Unauthorized
from skybus.identity.auth.tokens import NO_ENTRY
from skybus.identity.ldap.ldap_directory import LdapDirectory, Person
from skybus.identity.ldap.ldap_mirror import entry_used
from skybus.identity.login.proof import Proven, live
from skybus.identity.people import users

if TYPE_CHECKING:
    from skybus.identity.login.login import Login


async def prove(login: Login, asked: Mapping[str, Any]) -> Proven | None:
    """Whose password it is, when the user whom a request names belongs to a directory; None when it is one of ours.

    Raises Unauthorized in the words of every refusal, and Unavailable when the directory cannot be asked.
    """
    domain_id, local_id = await _where(login, asked)
    directory = await login.ldap.directory(domain_id)
    if directory is None or domain_id is None:
        return None
    person = await _who(directory, asked, local_id)
    password = asked.get("password") or ""
    # A directory says yes to anybody without a password.
    if not password or not await directory.is_password(person, password) or person is None or not person.enabled:
        raise Unauthorized(NO_ENTRY)
    user_id = await login.ldap.take_in_with_groups(domain_id, directory, person)
    # Only now: what the directory has taken away was revoked by the transaction before.
    revision = await login.memory.look()
    row = live(await login.store.fetchrow(users.LOGIN_BY_ID, user_id), password=False)
    await entry_used(login.store, user_id)
    return Proven(user=row, methods=("password",), revision=revision)


async def _where(login: Login, asked: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """(id of the domain, the directory's own id) of the user whom a request names, where these are known."""
    if asked.get("id") is not None:
        entry = await login.ldap.entry(str(asked["id"]))
        if entry is None or entry["kind"] != "user":
            return None, None
        return entry["domain_id"], entry["local_id"]
    domain = asked.get("domain") or {}
    if domain.get("id") is not None:
        return domain["id"], None
    if domain.get("name") is not None:
        return await login.ldap.named(domain["name"]), None
    return None, None


async def _who(directory: LdapDirectory, asked: Mapping[str, Any], local_id: str | None) -> Person | None:
    if local_id is not None:
        found = await directory.users_by_id([local_id])
        return found[0] if found else None
    name = asked.get("name")
    return await directory.user_by_name(name) if isinstance(name, str) and name else None

"""Domains' own settings: options in sections, by Keystone's names. Secrets are sealed, and shown to nobody."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skybus.errors import Forbidden, NotFound
from skybus.identity.auth.revocations import revoke
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.identity.ldap.ldap_settings import SECRETS, SECTIONS, AddressError, SettingsError, settings_of
from skybus.identity.projects.projects import DEFAULT_DOMAIN
from skybus.messages.identity_federation import DomainConfigChanged
from skybus.store import Store, Tx

Config = dict[str, dict[str, Any]]
"""Options by section and name."""
Row = Any

GET = """
SELECT domain_id, section, name, value, key_number, sealed
  FROM identity.domain_option WHERE domain_id = $1 ORDER BY section, name
"""
PUT = """
INSERT INTO identity.domain_option (domain_id, section, name, value, key_number, sealed)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (domain_id, section, name) DO UPDATE
   SET value = EXCLUDED.value, key_number = EXCLUDED.key_number, sealed = EXCLUDED.sealed
"""
DELETE = """
DELETE FROM identity.domain_option
 WHERE domain_id = $1 AND ($2::text IS NULL OR section = $2) AND ($3::text IS NULL OR name = $3)
RETURNING section, name
"""
# Every option of every domain whose users come from a directory.
DIRECTORIES = """
SELECT o.domain_id, p.name AS domain_name, o.section, o.name, o.value, o.key_number, o.sealed
  FROM identity.domain_option d
  JOIN identity.domain_option o ON o.domain_id = d.domain_id
  JOIN identity.project p ON p.id = o.domain_id
 WHERE d.section = 'identity' AND d.name = 'driver' AND d.value = '"ldap"'
 ORDER BY o.domain_id
"""
STALE = """
SELECT domain_id, section, name, value, key_number, sealed FROM identity.domain_option
 WHERE key_number <> $1 ORDER BY domain_id, section, name LIMIT 100 FOR UPDATE
"""
LONGEST = 8192
"""Characters of an option."""


async def config_get(db: Any, domain_id: str) -> Config:
    """The options that are set and may be shown."""
    config: Config = {}
    for row in await db.fetch(GET, domain_id):
        if row["sealed"] is None:
            config.setdefault(row["section"], {})[row["name"]] = row["value"]
    return config


async def config_is_set(db: Any, domain_id: str, section: str | None = None, name: str | None = None) -> bool:
    """Whether anything is set, secrets included, in the domain, a section of it, or under one name."""
    rows = await db.fetch(GET, domain_id)
    return any(section in (None, row["section"]) and name in (None, row["name"]) for row in rows)


async def config_put(tx: Tx, domain_id: str, asked: Mapping[str, Any], keys: CredentialKeys) -> Config:
    """Set these options, and leave the others. Raises Forbidden, as Keystone does, for what cannot be set."""
    check_options(asked)
    await tx.lock("domain-config", domain_id)
    before = opened(await tx.fetch(GET, domain_id), keys)
    after = {name: {**before.get(name, {}), **asked.get(name, {})} for name in {*before, *asked}}
    _check_meaning(domain_id, after)
    for section, options in asked.items():
        for name, value in options.items():
            await tx.execute(PUT, domain_id, section, name, *_kept(keys, domain_id, section, name, value))
    changed = [f"{section}.{name}" for section, options in asked.items() for name in options]
    await _told(tx, domain_id, before, changed)
    return await config_get(tx, domain_id)


async def config_delete(tx: Tx, domain_id: str, section: str | None, name: str | None, keys: CredentialKeys) -> None:
    """Forget all options, those of a section, or one. Raises NotFound when a named one is not set."""
    await tx.lock("domain-config", domain_id)
    before = opened(await tx.fetch(GET, domain_id), keys)
    gone = await tx.fetch(DELETE, domain_id, section, name)
    if not gone and section is not None:
        raise missing_option(domain_id, section, name)
    await _told(tx, domain_id, before, [f"{row['section']}.{row['name']}" for row in gone])


async def _told(tx: Tx, domain_id: str, before: Config, changed: Sequence[str]) -> None:
    """Announce it. Users of a directory that may be another one now have to come again."""
    tx.publish(DomainConfigChanged(domain_id=domain_id, options=sorted(changed)), project_id="")
    if before.get("identity", {}).get("driver") == "ldap":
        await revoke(tx, {"domain_id": domain_id})


async def directory_options(db: Any) -> dict[str, tuple[str, list[Row]]]:
    """(name, rows) of every domain whose users come from a directory, by its id."""
    found: dict[str, tuple[str, list[Row]]] = {}
    for row in await db.fetch(DIRECTORIES):
        found.setdefault(row["domain_id"], (row["domain_name"], []))[1].append(row)
    return found


async def domain_secrets_reseal(store: Store, keys: CredentialKeys) -> int:
    """Seal every secret with the key that seals now; how many were. Raises Unavailable for one that does not open."""
    done = 0
    while True:
        async with store.transaction() as tx:
            rows = await tx.fetch(STALE, keys.keys.signing_number)
            for row in rows:
                place = (row["domain_id"], row["section"], row["name"])
                await tx.execute(PUT, *place, *_kept(keys, *place, _opened(row, keys)))
        if not rows:
            return done
        done += len(rows)


# --- what may be set


def check_option(section: str, name: str | None = None) -> None:
    """Raises Forbidden for an option that a domain cannot have of its own."""
    if section not in SECTIONS:
        raise _invalid(f"Group {section[:64]} is not supported for domain specific configurations")
    if name is not None and name not in SECTIONS[section] and name not in SECRETS[section]:
        raise _invalid(f"Option {name[:64]} in group {section} is not supported for domain specific configurations")


def check_options(asked: Mapping[str, Any]) -> None:
    """Raises Forbidden for options that cannot be set."""
    if not asked:
        raise _invalid("No options specified")
    for section, options in asked.items():
        if not isinstance(options, Mapping) or not options:
            raise _invalid(
                f"The value of group {section[:64]} specified in the config should be a dictionary of options"
            )
        for name, value in options.items():
            check_option(section, name)
            if isinstance(value, Mapping) or len(json.dumps(value)) > LONGEST:
                raise _invalid(f"Option {name} in group {section} is too long, or no option")


def _check_meaning(domain_id: str, config: Config) -> None:
    """Raises Forbidden. Any driver and any address may be set, as in Keystone: a driver that is not ours is none, and
    whoever logs in to a domain that has no directory where it should hears that it is unavailable."""
    driver = config.get("identity", {}).get("driver")
    if driver is not None and not isinstance(driver, str):
        raise _invalid("Option driver in group identity must be text")
    if driver == "ldap" and domain_id == DEFAULT_DOMAIN:
        raise _invalid("The default domain holds the cloud's own users, and cannot come from a directory")
    try:
        try:
            settings_of(config)
        except AddressError:
            settings_of({**config, "ldap": {**config["ldap"], "url": "ldap://localhost"}})
    except SettingsError as error:
        raise _invalid(str(error)) from None


def _invalid(reason: str) -> Forbidden:
    return Forbidden(f"Invalid domain specific configuration: {reason}.")


def missing_option(domain_id: str, section: str | None, name: str | None) -> NotFound:
    """Keystone's sentence for what is not set."""
    what = f"option {name} in group {section}" if name else f"group {section}" if section else "any options"
    return NotFound(f"Could not find {what} in domain configuration for domain {domain_id}.")


# --- secrets


def opened(rows: Iterable[Row], keys: CredentialKeys) -> Config:
    """All options, with their secrets. Raises Unavailable for one that cannot be opened."""
    config: Config = {}
    for row in rows:
        value = row["value"] if row["sealed"] is None else _opened(row, keys)
        config.setdefault(row["section"], {})[row["name"]] = value
    return config


def _opened(row: Row, keys: CredentialKeys) -> str:
    return keys.open(_bound(row), row["key_number"], row["sealed"])


def _bound(row: Row) -> str:
    return f"{row['domain_id']}/{row['section']}.{row['name']}"


def _kept(
    keys: CredentialKeys, domain_id: str, section: str, name: str, value: Any
) -> tuple[Any, int | None, bytes | None]:
    """(value, number of the key, sealed value) as the row keeps them."""
    if name not in SECRETS[section] or value is None:
        return value, None, None
    number, sealed = keys.seal(f"{domain_id}/{section}.{name}", str(value))
    return None, number, sealed

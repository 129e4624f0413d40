"""Encrypting anew, when there is a newer key, all that is kept under the keys of credentials."""

from __future__ import annotations

from typing import Any

import structlog

from skybus.errors import Unavailable
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.identity.ldap.domain_config import domain_secrets_reseal
from skybus.store import Store, Tx

log = structlog.get_logger()

BATCH = 100
SEALED = ("credential", "consumer", "request_token", "access_token")
"""Tables whose `sealed` is bound to their `id`. The options of domains are resealed by their own module."""
STALE = """
SELECT id, key_number, sealed FROM identity.{table}
 WHERE key_number <> $1 AND id > $2 ORDER BY id LIMIT $3 FOR UPDATE
"""
RESEAL = "UPDATE identity.{table} SET sealed = $2, key_number = $3 WHERE id = $1"
WITH_KEYS = """
SELECT table_name FROM information_schema.columns WHERE table_schema = 'identity' AND column_name = 'key_number'
 ORDER BY 1
"""
IN_USE = "SELECT DISTINCT key_number FROM identity.{table} WHERE key_number IS NOT NULL"


async def credentials_reseal(store: Store, keys: CredentialKeys) -> tuple[int, int]:
    """Encrypt everything with the key that seals now, a batch a transaction; requests go on meanwhile.

    Answers how many secrets were, and how many could not be opened and are as before.
    """
    done = failed = 0
    for table in SEALED:
        good, bad = await _reseal(store, keys, table)
        done, failed = done + good, failed + bad
    try:
        done += await domain_secrets_reseal(store, keys)
    except Unavailable as error:
        log.error("domain_secrets_not_resealed", reason=str(error))
        failed += 1
    return done, failed


async def _reseal(store: Store, keys: CredentialKeys, table: str) -> tuple[int, int]:
    done, failed, after = 0, 0, ""
    while True:
        async with store.transaction() as tx:
            rows = await tx.fetch(STALE.format(table=table), keys.keys.signing_number, after, BATCH)
            resealed = [sealed for row in rows if (sealed := _sealed(keys, table, row)) is not None]
            await tx.executemany(RESEAL.format(table=table), resealed)
        if not rows:
            return done, failed
        done, failed, after = done + len(resealed), failed + len(rows) - len(resealed), rows[-1]["id"]


def _sealed(keys: CredentialKeys, table: str, row: Any) -> tuple[str, bytes, int] | None:
    try:
        number, sealed = keys.seal(row["id"], keys.open(row["id"], row["key_number"], row["sealed"]))
    except Unavailable as error:
        log.error("credential_not_resealed", table=table, id=row["id"], reason=str(error))
        return None
    return row["id"], sealed, number


async def credential_keys_in_use(db: Store | Tx) -> set[int]:
    """The numbers of the keys without which something cannot be opened, in whatever table of ours it is."""
    tables = [row["table_name"] for row in await db.fetch(WITH_KEYS)]
    return {row["key_number"] for table in tables for row in await db.fetch(IN_USE.format(table=table))}

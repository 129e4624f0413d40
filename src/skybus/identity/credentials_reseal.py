"""Encrypting credentials anew, when there is a newer key."""

from __future__ import annotations

from typing import Any

import structlog

from skybus.errors import Unavailable
from skybus.identity.credential_keys import CredentialKeys
from skybus.store import Store, Tx

log = structlog.get_logger()

BATCH = 100
STALE = """
SELECT id, key_number, sealed FROM identity.credential
 WHERE key_number <> $1 AND id > $2 ORDER BY id LIMIT $3 FOR UPDATE
"""
RESEAL = "UPDATE identity.credential SET sealed = $2, key_number = $3 WHERE id = $1"
IN_USE = "SELECT DISTINCT key_number FROM identity.credential ORDER BY 1"


async def credentials_reseal(store: Store, keys: CredentialKeys) -> tuple[int, int]:
    """Encrypt every credential with the key that seals now, a batch a transaction; requests go on meanwhile.

    Answers how many were, and how many could not be opened and are as before.
    """
    done, failed, after = 0, 0, ""
    while True:
        async with store.transaction() as tx:
            rows = await tx.fetch(STALE, keys.keys.signing_number, after, BATCH)
            resealed = [sealed for row in rows if (sealed := _sealed(keys, row)) is not None]
            await tx.executemany(RESEAL, resealed)
        if not rows:
            return done, failed
        done, failed, after = done + len(resealed), failed + len(rows) - len(resealed), rows[-1]["id"]


def _sealed(keys: CredentialKeys, row: Any) -> tuple[str, bytes, int] | None:
    credential_id, number, sealed = row["id"], row["key_number"], row["sealed"]
    try:
        number, sealed = keys.seal(credential_id, keys.open(credential_id, number, sealed))
    except Unavailable as error:
        log.error("credential_not_resealed", credential_id=credential_id, reason=str(error))
        return None
    return credential_id, sealed, number


async def credential_keys_in_use(db: Store | Tx) -> set[int]:
    """The numbers of the keys without which some credential cannot be opened."""
    return {row["key_number"] for row in await db.fetch(IN_USE)}

"""Whether those who came from a directory still stand in it: asked again and again, more often while their tokens live.

Every gateway process takes its share: a row that one has taken is not due again for a while. A directory that is away
says nothing of anybody; its users' tokens live on to their end.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import structlog

from skybus import clock
from skybus.errors import CloudError
from skybus.identity.ldap import ldap_mirror as mirror
from skybus.identity.ldap.ldap_domains import LdapDomains

log = structlog.get_logger()

EVERY_SECONDS = 10.0
CHECK_SECONDS = 45.0
"""How old a directory's word may become about who has logged in by a password, while tokens of that may live."""
IDLE_SECONDS = 900.0
"""The same about everybody else: there are other ways in, as by an application credential, of which it is not told."""
BATCH = 100
DUE = """
UPDATE identity.directory_entry SET checked_at = $1
 WHERE id IN (
    SELECT id FROM identity.directory_entry
     WHERE kind = 'user' AND NOT gone AND domain_id = ANY($5::text[])
       AND checked_at < $3 AND (used_at > $2 OR checked_at < $4)
     ORDER BY checked_at LIMIT $6
       FOR UPDATE SKIP LOCKED)
RETURNING id, domain_id, local_id
"""


class LdapWatch:
    """Looks after the users of all directories; `token_seconds` is how long a token lives."""

    def __init__(self, domains: LdapDomains, *, token_seconds: int, check_seconds: float = CHECK_SECONDS) -> None:
        self.domains = domains
        self.token_seconds = token_seconds
        self.check_seconds = check_seconds

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                while await self.look() == BATCH:
                    pass
            except (CloudError, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("directory_watch_failed", reason=f"{type(error).__name__}: {error}"[:300])

    async def look(self) -> int:
        """Ask about those who are due, and revoke the tokens of whoever has less than before; how many were due."""
        ids = await self.domains.ids()
        if not ids:
            return 0
        now = clock.now()
        ages = (self.token_seconds, self.check_seconds, IDLE_SECONDS)
        due = await self.domains.store.fetch(DUE, now, *(now - timedelta(seconds=age) for age in ages), ids, BATCH)
        by_domain: dict[str, list[Any]] = {}
        for row in due:
            by_domain.setdefault(row["domain_id"], []).append(row)
        for domain_id, rows in by_domain.items():
            try:
                await self._check(domain_id, rows)
            except CloudError as error:
                log.warning("directory_not_asked", domain_id=domain_id, reason=error.reason)
        return len(due)

    async def _check(self, domain_id: str, rows: list[Any]) -> None:
        directory = await self.domains.directory(domain_id)
        if directory is None:
            return
        found = {one.local_id: one for one in await directory.users_by_id([row["local_id"] for row in rows])}
        gone = [row["id"] for row in rows if row["local_id"] not in found]
        if gone:
            async with self.domains.writing() as tx:
                await mirror.users_gone(tx, domain_id, gone)
        for person in found.values():
            await self.domains.take_in_with_groups(domain_id, directory, person)

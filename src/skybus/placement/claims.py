"""Claims: a consumer's share of a host. The database decides whether it fits, in the transaction that takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from skybus.placement.inventory import providers_announce
from skybus.store import Store, Tx

HELD = "SELECT DISTINCT consumer_id, kind, host FROM placement.allocation WHERE consumer_id = ANY($1::uuid[])"
# Locked in one order everywhere: two transactions cannot wait for each other's providers.
LOCK = """
WITH locked AS (
    SELECT host FROM placement.provider
     WHERE kind = $1 AND host = ANY($2::text[]) AND up AND enabled ORDER BY host FOR UPDATE
)
UPDATE placement.provider p SET generation = generation + 1
  FROM locked WHERE p.kind = $1 AND p.host = locked.host RETURNING p.host
"""
LOCK_ANY = """
SELECT 1 FROM placement.provider
 WHERE (kind, host) IN (SELECT * FROM unnest($1::text[], $2::text[])) ORDER BY kind, host FOR UPDATE
"""
# All that is asked of a host or nothing of it: a host where one class does not fit takes none of its claims.
TAKE = """
WITH asked AS (
    SELECT * FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[])
                  AS a (consumer_id, host, project_id, resource_class, amount)
), needed AS (
    SELECT host, resource_class, sum(amount)::bigint AS amount FROM asked GROUP BY host, resource_class
), full_hosts AS (
    SELECT n.host
      FROM needed n
      LEFT JOIN placement.inventory i ON i.kind = $1 AND i.host = n.host AND i.resource_class = n.resource_class
     WHERE i.host IS NULL OR i.used + n.amount > floor((i.total - i.reserved) * i.allocation_ratio)
), moved AS (
    UPDATE placement.inventory i SET used = i.used + n.amount
      FROM needed n
     WHERE i.kind = $1 AND i.host = n.host AND i.resource_class = n.resource_class
       AND n.host NOT IN (SELECT host FROM full_hosts)
)
INSERT INTO placement.allocation (consumer_id, resource_class, kind, host, project_id, amount)
SELECT consumer_id, resource_class, $1, host, project_id, amount
  FROM asked WHERE host NOT IN (SELECT host FROM full_hosts)
RETURNING consumer_id
"""
RELEASE = """
WITH gone AS (
    DELETE FROM placement.allocation WHERE consumer_id = ANY($1::uuid[]) RETURNING kind, host, resource_class, amount
), freed AS (
    SELECT kind, host, resource_class, sum(amount)::bigint AS amount FROM gone GROUP BY kind, host, resource_class
)
UPDATE placement.inventory i SET used = i.used - freed.amount
  FROM freed WHERE (i.kind, i.host, i.resource_class) = (freed.kind, freed.host, freed.resource_class)
"""
OF_CONSUMER = "SELECT kind, host, resource_class, amount FROM placement.allocation WHERE consumer_id = $1"
CONSUMERS = "SELECT DISTINCT consumer_id, host FROM placement.allocation WHERE kind = $1"
DRIFT = """
SELECT i.kind, i.host, i.resource_class, i.used, coalesce(sum(a.amount), 0)::bigint AS claimed
  FROM placement.inventory i LEFT JOIN placement.allocation a USING (kind, host, resource_class)
 GROUP BY i.kind, i.host, i.resource_class, i.used
HAVING i.used <> coalesce(sum(a.amount), 0)
"""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What one consumer asks of one host: amounts by resource class."""

    consumer_id: str
    project_id: str
    host: str
    resources: Mapping[str, int]


async def claims_held(tx: Tx, consumer_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """(kind, host) of the claims of those of the consumers that have one."""
    return {row["consumer_id"]: (row["kind"], row["host"]) for row in await tx.fetch(HELD, list(consumer_ids))}


async def claims_take(tx: Tx, kind: str, claims: Sequence[Claim]) -> set[str]:
    """Claim on hosts that are up and enabled; answer the consumers that have got what they asked for.

    A host takes all of its claims or none of them: where several do not fit together, each may still fit alone.
    """
    locked = {row["host"] for row in await tx.fetch(LOCK, kind, sorted({claim.host for claim in claims}))}
    asked = [
        (claim.consumer_id, claim.host, claim.project_id, name, amount)
        for claim in claims
        for name, amount in claim.resources.items()
        if claim.host in locked and amount > 0
    ]
    if not asked:
        return set()
    taken = {row["consumer_id"] for row in await tx.fetch(TAKE, kind, *map(list, zip(*asked, strict=True)))}
    await providers_announce(tx, [(kind, claim.host) for claim in claims if claim.consumer_id in taken], bump=False)
    return taken


async def claims_release(tx: Tx, consumer_ids: Sequence[str]) -> None:
    """Give back what the consumers claim. Content to find nothing."""
    held = sorted(set((await claims_held(tx, consumer_ids)).values()))
    if not held:
        return
    # The providers' locks first, as claims_take does.
    await tx.execute(LOCK_ANY, [kind for kind, _ in held], [host for _, host in held])
    await tx.execute(RELEASE, list(consumer_ids))
    await providers_announce(tx, held)


async def claim_release(tx: Tx, consumer_id: str) -> None:
    """Give back what one consumer claims."""
    await claims_release(tx, [consumer_id])


async def allocations_of(store: Store | Tx, consumer_id: str) -> dict[str, int]:
    """The consumer's claims, amounts by resource class."""
    return {row["resource_class"]: row["amount"] for row in await store.fetch(OF_CONSUMER, consumer_id)}


async def claim_consumers(store: Store | Tx, kind: str) -> list[Any]:
    """(consumer_id, host) of every claim of a kind."""
    return await store.fetch(CONSUMERS, kind)


async def claim_drift(store: Store | Tx) -> list[Any]:
    """Inventories whose `used` is not the sum of their claims: there is none, and `skybus doctor` looks."""
    return await store.fetch(DRIFT)

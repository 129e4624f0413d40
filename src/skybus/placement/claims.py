"""Claims: a consumer's share of a host. The database decides whether it fits, in the transaction that takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skybus.placement.inventory import provider_announce
from skybus.store import Store, Tx

HELD = "SELECT kind, host FROM placement.allocation WHERE consumer_id = $1 LIMIT 1"
LOCK = """
UPDATE placement.provider SET generation = generation + 1
 WHERE kind = $1 AND host = $2 AND up AND enabled RETURNING generation
"""
LOCK_ANY = "SELECT 1 FROM placement.provider WHERE kind = $1 AND host = $2 FOR UPDATE"
# All or nothing: the first part finds the classes that fit, and the others do nothing unless those are all.
TAKE = """
WITH asked AS (
    SELECT * FROM unnest($4::text[], $5::bigint[]) AS a (resource_class, amount)
), fit AS (
    SELECT a.resource_class, a.amount
      FROM asked a JOIN placement.inventory i ON i.kind = $1 AND i.host = $2 AND i.resource_class = a.resource_class
     WHERE i.used + a.amount <= floor((i.total - i.reserved) * i.allocation_ratio)
), moved AS (
    UPDATE placement.inventory i SET used = i.used + fit.amount
      FROM fit
     WHERE i.kind = $1 AND i.host = $2 AND i.resource_class = fit.resource_class
       AND (SELECT count(*) FROM fit) = (SELECT count(*) FROM asked)
    RETURNING i.resource_class, fit.amount
), held AS (
    INSERT INTO placement.allocation (consumer_id, resource_class, kind, host, project_id, amount)
    SELECT $3, resource_class, $1, $2, $6, amount FROM moved
    RETURNING 1
)
SELECT count(*) = cardinality($4::text[]) FROM held
"""
RELEASE = """
WITH gone AS (
    DELETE FROM placement.allocation WHERE consumer_id = $1 RETURNING kind, host, resource_class, amount
)
UPDATE placement.inventory i SET used = i.used - gone.amount
  FROM gone WHERE (i.kind, i.host, i.resource_class) = (gone.kind, gone.host, gone.resource_class)
"""
OF_CONSUMER = "SELECT kind, host, resource_class, amount FROM placement.allocation WHERE consumer_id = $1"
CONSUMERS = "SELECT DISTINCT consumer_id, host FROM placement.allocation WHERE kind = $1"
DRIFT = """
SELECT i.kind, i.host, i.resource_class, i.used, coalesce(sum(a.amount), 0)::bigint AS claimed
  FROM placement.inventory i LEFT JOIN placement.allocation a USING (kind, host, resource_class)
 GROUP BY i.kind, i.host, i.resource_class, i.used
HAVING i.used <> coalesce(sum(a.amount), 0)
"""


async def claim_held(tx: Tx, consumer_id: str) -> tuple[str, str] | None:
    """(kind, host) of the consumer's claim, if it has one."""
    row = await tx.fetchrow(HELD, consumer_id)
    return None if row is None else (row["kind"], row["host"])


async def claim_take(
    tx: Tx, *, consumer_id: str, project_id: str, kind: str, host: str, resources: Mapping[str, int]
) -> bool:
    """Claim `resources` (amounts by class) on a host that is up and enabled. False, and nothing changed, when they do
    not fit any more."""
    if await tx.fetchval(LOCK, kind, host) is None:
        return False
    classes = [name for name, amount in resources.items() if amount > 0]
    amounts = [resources[name] for name in classes]
    if not await tx.fetchval(TAKE, kind, host, consumer_id, classes, amounts, project_id):
        return False
    await provider_announce(tx, kind, host, bump=False)
    return True


async def claim_release(tx: Tx, consumer_id: str) -> None:
    """Give back what the consumer claims. Content to find nothing."""
    held = await claim_held(tx, consumer_id)
    if held is None:
        return
    # The provider's lock first, as claim_take does: two locks in one order cannot wait for each other.
    await tx.execute(LOCK_ANY, *held)
    await tx.execute(RELEASE, consumer_id)
    await provider_announce(tx, *held)


async def allocations_of(store: Store | Tx, consumer_id: str) -> dict[str, int]:
    """The consumer's claims, amounts by resource class."""
    return {row["resource_class"]: row["amount"] for row in await store.fetch(OF_CONSUMER, consumer_id)}


async def claim_consumers(store: Store | Tx, kind: str) -> list[Any]:
    """(consumer_id, host) of every claim of a kind."""
    return await store.fetch(CONSUMERS, kind)


async def claim_drift(store: Store | Tx) -> list[Any]:
    """Inventories whose `used` is not the sum of their claims: there is none, and `skybus doctor` looks."""
    return await store.fetch(DRIFT)

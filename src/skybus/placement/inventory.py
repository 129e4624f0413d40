"""Hosts and their capacity. `provider` rows are hosts of one kind (`compute`, `volume`); every change of a provider,
of its inventory or of its claims bumps its generation, and so takes its lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from skybus import clock
from skybus.messages.placement import ProviderChanged
from skybus.store import Store, Tx

SEEN = """
INSERT INTO placement.provider (kind, host, last_seen) VALUES ($1, $2, $3)
ON CONFLICT (kind, host) DO UPDATE SET last_seen = $3
RETURNING up, (xmax = 0) AS inserted
"""
RISE = "UPDATE placement.provider SET up = true WHERE kind = $1 AND host = $2 AND NOT up"
ALIVE = """
UPDATE placement.provider SET last_seen = $3
 WHERE (kind, host) IN (SELECT * FROM unnest($1::text[], $2::text[])) RETURNING kind, host, up
"""
STOCK = """
INSERT INTO placement.inventory (kind, host, resource_class, total, reserved, allocation_ratio)
SELECT $1, $2, * FROM unnest($3::text[], $4::bigint[], $5::bigint[], $6::float8[])
ON CONFLICT (kind, host, resource_class) DO UPDATE
   SET total = EXCLUDED.total, reserved = EXCLUDED.reserved, allocation_ratio = EXCLUDED.allocation_ratio
 WHERE (inventory.total, inventory.reserved, inventory.allocation_ratio)
       IS DISTINCT FROM (EXCLUDED.total, EXCLUDED.reserved, EXCLUDED.allocation_ratio)
RETURNING resource_class
"""
SILENT = """
UPDATE placement.provider SET up = false WHERE up AND last_seen < $1 RETURNING kind, host
"""
ENABLE = "UPDATE placement.provider SET enabled = $3, disabled_reason = $4 WHERE kind = $1 AND host = $2 RETURNING host"
BUMP = """
UPDATE placement.provider SET generation = generation + 1
 WHERE (kind, host) IN (SELECT * FROM unnest($1::text[], $2::text[]))
"""
PICTURE = """
SELECT p.kind, p.host, p.generation, p.up, p.enabled, p.availability_zone,
       coalesce(json_object_agg(i.resource_class, floor((i.total - i.reserved) * i.allocation_ratio))
                FILTER (WHERE i.host IS NOT NULL), '{}') AS capacity,
       coalesce(json_object_agg(i.resource_class, i.used) FILTER (WHERE i.host IS NOT NULL), '{}') AS used
  FROM placement.provider p LEFT JOIN placement.inventory i USING (kind, host)
"""
PICTURES = (
    PICTURE
    + " WHERE (p.kind, p.host) IN (SELECT * FROM unnest($1::text[], $2::text[])) GROUP BY p.kind, p.host ORDER BY 1, 2"
)
ALL_PICTURES = PICTURE + " GROUP BY p.kind, p.host ORDER BY p.kind, p.host"
USAGE = "SELECT host, resource_class, total, used FROM placement.inventory WHERE kind = $1"
SERVICES = """
SELECT kind, host, up, enabled, disabled_reason, availability_zone, last_seen
  FROM placement.provider ORDER BY kind, host
"""


class Stock(msgspec.Struct, frozen=True, kw_only=True):
    """How much of one resource class a host has."""

    total: int
    reserved: int = 0
    allocation_ratio: float = 1.0


async def provider_heard(tx: Tx, kind: str, host: str, stock: Mapping[str, Stock]) -> bool:
    """A host reported what it has. Answers whether it is new or back; announces it when anything changed."""
    row = await tx.fetchrow(SEEN, kind, host, clock.now())
    assert row is not None
    risen = bool(row["inserted"]) or not row["up"]
    if not row["up"]:
        await tx.execute(RISE, kind, host)
    changed = []
    if stock:
        changed = await tx.fetch(
            STOCK,
            kind,
            host,
            list(stock),
            [one.total for one in stock.values()],
            [one.reserved for one in stock.values()],
            [one.allocation_ratio for one in stock.values()],
        )
    if risen or changed:
        await provider_announce(tx, kind, host)
    return risen


async def providers_alive(tx: Tx, hosts: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """(kind, host) were heard, and are what they were; those that were silent are back, and announced. Answers those
    that are known."""
    rows = await tx.fetch(ALIVE, *_columns(hosts), clock.now())
    for row in sorted(rows, key=lambda one: (str(one["kind"]), str(one["host"]))):
        if not row["up"]:
            await tx.execute(RISE, row["kind"], row["host"])
            await provider_announce(tx, row["kind"], row["host"])
    return {(row["kind"], row["host"]) for row in rows}


async def providers_silent(tx: Tx, before: Any) -> list[tuple[str, str]]:
    """Mark as down every host that was last heard before `before`; answer them as (kind, host)."""
    silent = sorted((row["kind"], row["host"]) for row in await tx.fetch(SILENT, before))
    for kind, host in silent:
        await provider_announce(tx, kind, host)
    return silent


async def provider_enable(tx: Tx, kind: str, host: str, enabled: bool, reason: str | None = None) -> bool:
    """Let a host take new work, or not; answer whether there is such a host."""
    found = await tx.fetchval(ENABLE, kind, host, enabled, reason)
    if found is not None:
        await provider_announce(tx, kind, host)
    return found is not None


async def provider_announce(tx: Tx, kind: str, host: str) -> None:
    """Tell the schedulers what a host is like now, under a new generation."""
    await providers_announce(tx, [(kind, host)])


async def providers_announce(tx: Tx, hosts: Iterable[tuple[str, str]], *, bump: bool = True) -> None:
    """Tell the schedulers what each (kind, host) is like now, under a new generation unless it was just bumped. The
    caller has locked them when they are several."""
    asked = _columns(hosts)
    if bump:
        await tx.execute(BUMP, *asked)
    for row in await tx.fetch(PICTURES, *asked):
        tx.publish(ProviderChanged(**dict(row)), project_id="")


async def provider_pictures(store: Store | Tx, hosts: Iterable[tuple[str, str]] | None = None) -> list[ProviderChanged]:
    """Every (kind, host), or those asked for, as they are now, in the form of the event that tells of them."""
    rows = await (store.fetch(ALL_PICTURES) if hosts is None else store.fetch(PICTURES, *_columns(hosts)))
    return [ProviderChanged(**dict(row)) for row in rows]


def _columns(hosts: Iterable[tuple[str, str]]) -> tuple[list[str], list[str]]:
    unique = sorted(set(hosts))
    return [kind for kind, _ in unique], [host for _, host in unique]


async def providers(store: Store | Tx) -> list[Any]:
    """Rows of all hosts: kind, host, up, enabled, disabled_reason, availability_zone, last_seen."""
    return await store.fetch(SERVICES)


async def usage_by_host(store: Store | Tx, kind: str = "compute") -> dict[str, dict[str, tuple[int, int]]]:
    """{host: {resource class: (total, used)}}."""
    usage: dict[str, dict[str, tuple[int, int]]] = {}
    for row in await store.fetch(USAGE, kind):
        usage.setdefault(row["host"], {})[row["resource_class"]] = (row["total"], row["used"])
    return usage

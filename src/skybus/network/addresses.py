"""Handing out addresses, safely under load: the table's primary key decides, and nobody scans what is taken.

A pick is random, so two transactions seldom want the same address; the one that does not get the address's advisory
lock goes on to another without waiting. Where random picks keep failing the subnet is nearly full, and the first gap
behind a random point is taken: the fuller the subnet, the longer that walk, but never longer than to the next gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import asyncpg

from skybus.network import errors
from skybus.network.pools import pick, pick_anywhere

TRIES = 4
"""Random picks before gaps are looked for."""
GAPS = 64
"""Gaps that are tried before the subnet counts as full."""

TRY = """
INSERT INTO network.address (subnet_id, ip, port_id)
SELECT $1::uuid, $2::inet, $3::uuid
 WHERE pg_try_advisory_xact_lock(hashtextextended('address/' || ($1::uuid)::text || '/' || host($2::inet), 0))
ON CONFLICT DO NOTHING RETURNING host(ip)
"""
INSIST = """
INSERT INTO network.address (subnet_id, ip, port_id) VALUES ($1::uuid, $2::inet, $3::uuid)
ON CONFLICT DO NOTHING RETURNING host(ip)
"""
TAKE = "INSERT INTO network.address (subnet_id, ip, port_id) VALUES ($1::uuid, $2::inet, $3::uuid)"
# The first free address at or behind $2, up to $3: $2 itself, or what follows the first taken one without a neighbour.
GAP = """
SELECT host(free.ip) FROM (
    SELECT $2::inet AS ip WHERE NOT EXISTS (SELECT 1 FROM network.address WHERE subnet_id = $1::uuid AND ip = $2::inet)
    UNION ALL
    (SELECT taken.ip + 1 FROM network.address taken
      WHERE taken.subnet_id = $1::uuid AND taken.ip >= $2::inet AND taken.ip < $3::inet
        AND NOT EXISTS (SELECT 1 FROM network.address beside
                         WHERE beside.subnet_id = $1::uuid AND beside.ip = taken.ip + 1)
      ORDER BY taken.ip LIMIT 1)
) free ORDER BY free.ip LIMIT 1
"""
RELEASE = "DELETE FROM network.address WHERE port_id = $1::uuid AND subnet_id = $2::uuid AND ip = $3::inet"


async def address_pick(
    tx: Any, *, subnet_id: str, pools: Sequence[Sequence[str]], highest: str | None, port_id: str
) -> str | None:
    """Give the port a free address of the subnet's pools and answer it; None when there is none.

    `highest` is the highest address that is taken, as it was a moment ago.
    """
    for _ in range(TRIES):
        wanted = pick(pools, highest)
        if wanted is None:
            return None
        got = await tx.fetchval(TRY, subnet_id, wanted, port_id)
        if got is not None:
            return str(got)
    return await _from_a_gap(tx, subnet_id, pools, port_id)


async def _from_a_gap(tx: Any, subnet_id: str, pools: Sequence[Sequence[str]], port_id: str) -> str | None:
    for _ in range(GAPS):
        gap = await _gap(tx, subnet_id, pools)
        if gap is None:
            return None
        # This waits for another transaction that has the address in hand: when that one gives up, it is ours.
        got = await tx.fetchval(INSIST, subnet_id, gap, port_id)
        if got is not None:
            return str(got)
    return None


async def _gap(tx: Any, subnet_id: str, pools: Sequence[Sequence[str]]) -> str | None:
    """A free address behind a random point, or, when there is none up to the pools' end, from their beginning."""
    start = ip_address(pick_anywhere(pools) or pools[0][0])
    ordered = [(ip_address(low), ip_address(high)) for low, high in pools]
    behind = [(max(start, low), high) for low, high in ordered if high >= start]  # type: ignore[operator]
    return await _first_gap(tx, subnet_id, [*behind, *ordered])


async def _first_gap(tx: Any, subnet_id: str, spans: Sequence[tuple[Any, Any]]) -> str | None:
    for low, high in spans:
        found = await tx.fetchval(GAP, subnet_id, str(low), str(high))
        if found is not None and ip_address(found) <= high:
            return str(found)
    return None


async def address_lowest(tx: Any, *, subnet_id: str, pools: Sequence[Sequence[str]], port_id: str) -> str | None:
    """Give the port the lowest free address of the pools and answer it; None when there is none.

    For what comes to a subnet first, as its DHCP port does: the walk to the first gap is as long as the taken stretch.
    """
    for _ in range(GAPS):
        gap = await _first_gap(tx, subnet_id, [(ip_address(low), ip_address(high)) for low, high in pools])
        if gap is None:
            return None
        got = await tx.fetchval(INSIST, subnet_id, gap, port_id)
        if got is not None:
            return str(got)
    return None


async def address_take(tx: Any, *, network_id: str, subnet_id: str, address: str, port_id: str) -> None:
    """Give the port the address that was asked for. Raises Conflict (IpAddressInUse)."""
    try:
        await tx.execute(TAKE, subnet_id, address, port_id)
    except asyncpg.UniqueViolationError:
        raise errors.address_in_use(network_id, address) from None


async def address_release(tx: Any, *, port_id: str, subnet_id: str, address: str) -> None:
    """Take an address from a port."""
    await tx.execute(RELEASE, port_id, subnet_id, address)

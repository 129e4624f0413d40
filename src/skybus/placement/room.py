"""Whether any host has room, as the database knows it: what a scheduler asks before it says no to anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skybus.store import Store, Tx

# One pass over the inventories, and no picture is built: a refusal among ten thousand hosts costs the database some ten
# milliseconds and the scheduler nothing.
ROOM = """
WITH roomy AS (
    SELECT i.host
      FROM placement.inventory i JOIN unnest($2::text[], $3::bigint[]) AS a (resource_class, amount)
        ON i.resource_class = a.resource_class
     WHERE i.kind = $1 AND i.used + a.amount <= floor((i.total - i.reserved) * i.allocation_ratio)
     GROUP BY i.host
    HAVING count(*) = cardinality($2::text[])
)
SELECT EXISTS (
    SELECT FROM placement.provider p
     WHERE p.kind = $1 AND p.up AND p.enabled AND p.host <> ALL($5::text[])
       AND ($4::text IS NULL OR p.availability_zone = $4)
       AND (cardinality($2::text[]) = 0 OR p.host IN (SELECT host FROM roomy))
)
"""


async def room_exists(
    store: Store | Tx, kind: str, resources: Mapping[str, int], *, zone: str | None = None, avoid: Sequence[str] = ()
) -> bool:
    """Whether a host of `kind` that is up and enabled, in `zone` if one is named and none of `avoid`, could take
    `resources` (amounts by class) now."""
    wanted = {name: amount for name, amount in resources.items() if amount > 0}
    return bool(await store.fetchval(ROOM, kind, list(wanted), list(wanted.values()), zone, list(avoid)))

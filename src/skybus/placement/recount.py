"""Setting right what an inventory says is used, should it ever differ from the sum of its claims."""

from __future__ import annotations

from skybus.placement.claims import claim_drift
from skybus.placement.inventory import provider_announce
from skybus.store import Tx

LOCK = "SELECT 1 FROM placement.provider WHERE kind = $1 AND host = $2 FOR UPDATE"
RECOUNT = """
UPDATE placement.inventory i
   SET used = coalesce((SELECT sum(a.amount) FROM placement.allocation a
                         WHERE (a.kind, a.host, a.resource_class) = (i.kind, i.host, i.resource_class)), 0)
 WHERE i.kind = $1 AND i.host = $2
"""


async def claims_recount(tx: Tx) -> list[tuple[str, str]]:
    """Make `used` the sum of the claims wherever it is not; answer those hosts as (kind, host), and announce them."""
    hosts = sorted({(row["kind"], row["host"]) for row in await claim_drift(tx)})
    for kind, host in hosts:
        # Under the lock that whoever claims or releases takes: what is counted stands still.
        await tx.execute(LOCK, kind, host)
        await tx.execute(RECOUNT, kind, host)
        await provider_announce(tx, kind, host)
    return hosts

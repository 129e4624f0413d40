"""Whose policy it is: an endpoint's, that of a service in a region and below, or a service's."""

from __future__ import annotations

from typing import Any

import msgspec

from skybus.errors import NotFound
from skybus.identity.catalog.endpoints import LIST as ENDPOINT_LIST
from skybus.identity.catalog.endpoints import endpoint_hold
from skybus.identity.catalog.policy_blobs import COLUMNS, policy_hold
from skybus.identity.catalog.regions import region_hold
from skybus.identity.catalog.services import service_hold
from skybus.messages.identity_catalog import PolicyBlobAssociated, PolicyBlobDissociated
from skybus.store import Tx

# What has a policy has one: another takes its place.
ASSOCIATE = """
INSERT INTO identity.policy_association (policy_id, endpoint_id, service_id, region_id) VALUES ($1, $2, $3, $4)
ON CONFLICT (COALESCE(endpoint_id, ''), COALESCE(service_id, ''), COALESCE(region_id, ''))
DO UPDATE SET policy_id = EXCLUDED.policy_id
"""
SAME = """
WHERE policy_id = $1 AND endpoint_id IS NOT DISTINCT FROM $2 AND service_id IS NOT DISTINCT FROM $3
  AND region_id IS NOT DISTINCT FROM $4
"""
DISSOCIATE = f"DELETE FROM identity.policy_association {SAME}"
EXISTS = f"SELECT true FROM identity.policy_association {SAME}"

# A region speaks for those below it.
ENDPOINTS = f"""
WITH RECURSIVE mine AS (
    SELECT endpoint_id, service_id, region_id FROM identity.policy_association WHERE policy_id = $1
), below (service_id, region_id) AS (
    SELECT service_id, region_id FROM mine WHERE region_id IS NOT NULL
    UNION
    SELECT b.service_id, r.id FROM identity.region r JOIN below b ON r.parent_region_id = b.region_id
)
{ENDPOINT_LIST}
 WHERE e.id IN (SELECT endpoint_id FROM mine)
    OR e.service_id IN (SELECT service_id FROM mine WHERE region_id IS NULL)
    OR (e.service_id, e.region_id) IN (SELECT service_id, region_id FROM below)
 ORDER BY e.id
"""
# The endpoint's own policy comes before that of its region, the nearest region's before those above it, and last the
# service's.
POLICY = f"""
WITH RECURSIVE up (region_id, distance) AS (
    SELECT region_id, 1 FROM identity.endpoint WHERE id = $1
    UNION ALL
    SELECT r.parent_region_id, up.distance + 1 FROM identity.region r JOIN up ON r.id = up.region_id
     WHERE up.distance < 100
)
SELECT {COLUMNS}
  FROM identity.endpoint e
  JOIN identity.policy_association a ON a.endpoint_id = e.id OR a.service_id = e.service_id
  JOIN identity.policy_blob p ON p.id = a.policy_id
  LEFT JOIN up ON up.region_id = a.region_id
 WHERE e.id = $1 AND (a.region_id IS NULL OR up.region_id IS NOT NULL)
 ORDER BY a.endpoint_id IS NULL, a.region_id IS NULL, up.distance
 LIMIT 1
"""

Row = Any


class Association(msgspec.Struct, frozen=True, kw_only=True):
    """A policy, and an endpoint, or a service, or a service in a region and below."""

    policy_id: str
    endpoint_id: str | None = None
    service_id: str | None = None
    region_id: str | None = None

    @property
    def args(self) -> tuple[str, str | None, str | None, str | None]:
        """As the statements want it."""
        return self.policy_id, self.endpoint_id, self.service_id, self.region_id


async def association_insert(tx: Tx, one: Association) -> None:
    """Let a policy be that of something, instead of the one that it had. Raises NotFound."""
    await policy_hold(tx, one.policy_id)
    if one.endpoint_id is not None:
        await endpoint_hold(tx, one.endpoint_id)
    if one.service_id is not None:
        await service_hold(tx, one.service_id)
    if one.region_id is not None:
        await region_hold(tx, one.region_id)
    await tx.execute(ASSOCIATE, *one.args)
    tx.publish(PolicyBlobAssociated(**msgspec.structs.asdict(one)), project_id="")


async def association_delete(tx: Tx, one: Association) -> None:
    """Let a policy be no longer that of something; it may not have been."""
    if await tx.execute(DISSOCIATE, *one.args) == "DELETE 1":
        tx.publish(PolicyBlobDissociated(**msgspec.structs.asdict(one)), project_id="")


async def association_check(db: Any, one: Association) -> None:
    """Raises NotFound unless this very association was made."""
    if not await db.fetchval(EXISTS, *one.args):
        raise NotFound(f"Could not find that association of the policy {one.policy_id}.")


async def endpoints_of_policy(db: Any, policy_id: str) -> list[Row]:
    """The endpoints with which a policy is associated in any way."""
    return list(await db.fetch(ENDPOINTS, policy_id))


async def policy_of_endpoint(db: Any, endpoint_id: str) -> Row:
    """The policy by the nearest association. Raises NotFound when there is none."""
    row = await db.fetchrow(POLICY, endpoint_id)
    if row is None:
        raise NotFound(f"No policy is associated with endpoint {endpoint_id}.")
    return row

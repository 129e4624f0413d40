"""Quotas: how much a project may own. What is owned is counted, never kept as a number."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from skybus.errors import TooLarge

DEFAULTS: Mapping[str, int] = MappingProxyType(
    {
        "volumes": 10,
        "gigabytes": 1000,
        "snapshots": 10,
        "backups": 10,
        "backup_gigabytes": 1000,
        "per_volume_gigabytes": -1,
        "groups": 10,
    }
)
"""What applies where nothing was set; -1 is without end."""

LIMITS = "SELECT resource, most FROM volume.quota WHERE project_id = $1"
USED = """
SELECT count(*) AS volumes, COALESCE(sum(size_gib), 0)::bigint AS gigabytes
  FROM volume.volume WHERE project_id = $1 AND deleted_at IS NULL
"""
SET = """
INSERT INTO volume.quota (project_id, resource, most) SELECT $1, * FROM unnest($2::text[], $3::integer[])
    ON CONFLICT (project_id, resource) DO UPDATE SET most = excluded.most
"""
RESET = "DELETE FROM volume.quota WHERE project_id = $1"


class VolumeQuotaExceeded(TooLarge):
    """The project would own more than its quota allows."""

    code, title = "quota.exceeded", "Over limit"


async def quota_limits(store: Any, project_id: str) -> dict[str, int]:
    """What the project may own, by resource."""
    limits = dict(DEFAULTS)
    limits.update({row["resource"]: row["most"] for row in await store.fetch(LIMITS, project_id)})
    return limits


async def quota_used(store: Any, project_id: str) -> dict[str, int]:
    """What the project owns, by resource."""
    row = await store.fetchrow(USED, project_id)
    return {name: row[name] if name in ("volumes", "gigabytes") else 0 for name in DEFAULTS}


async def quota_set(tx: Any, project_id: str, limits: Mapping[str, int]) -> None:
    """Change limits of a project."""
    await tx.execute(SET, project_id, list(limits), list(limits.values()))


async def quota_reset(tx: Any, project_id: str) -> None:
    """Let the defaults apply again."""
    await tx.execute(RESET, project_id)


async def quota_check(tx: Any, project_id: str, size_gib: int) -> None:
    """After a volume of `size_gib` was inserted: may the project own it? Serialises the project.

    Raises VolumeQuotaExceeded.
    """
    await tx.lock("quota", "volume", project_id)
    limits, used = await quota_limits(tx, project_id), await quota_used(tx, project_id)
    if 0 <= limits["per_volume_gigabytes"] < size_gib:
        raise VolumeQuotaExceeded(
            f"Requested volume size {size_gib}G is larger than maximum allowed limit {limits['per_volume_gigabytes']}G."
        )
    if 0 <= limits["volumes"] < used["volumes"]:
        raise VolumeQuotaExceeded(
            f"VolumeLimitExceeded: Maximum number of volumes allowed ({limits['volumes']}) exceeded for quota "
            "'volumes'."
        )
    if 0 <= limits["gigabytes"] < used["gigabytes"]:
        raise VolumeQuotaExceeded(
            "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. Requested "
            f"{size_gib}G, quota is {limits['gigabytes']}G and {used['gigabytes'] - size_gib}G has been consumed."
        )

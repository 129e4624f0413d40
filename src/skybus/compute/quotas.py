"""Quotas: how much a project, or one user in it, may own. What is owned is counted, never kept as a number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from skybus.errors import QuotaExceeded
from skybus.store import Store, Tx

DEFAULTS: Mapping[str, int] = MappingProxyType(
    {
        "instances": 10,
        "cores": 20,
        "ram": 51200,
        "fixed_ips": -1,
        "floating_ips": -1,
        "metadata_items": 128,
        "injected_files": 5,
        "injected_file_content_bytes": 10240,
        "injected_file_path_bytes": 255,
        "security_groups": -1,
        "security_group_rules": -1,
        "key_pairs": 100,
        "server_groups": 10,
        "server_group_members": 10,
    }
)
"""What applies where nothing was set; -1 is without end. `ram` is in MiB."""

NETWORKING = frozenset(("fixed_ips", "floating_ips", "security_groups", "security_group_rules"))
"""Resources of Neutron's, which left the API with 2.36."""
FILES = frozenset(("injected_files", "injected_file_content_bytes", "injected_file_path_bytes"))
"""Resources of file injection, which left the API with 2.57."""

LIMITS = "SELECT resource, user_id, most FROM compute.quota WHERE project_id = $1 AND user_id = ANY ($2)"
USED = """
SELECT count(*) AS instances, coalesce(sum(vcpus), 0) AS cores, coalesce(sum(memory_mib), 0) AS ram
  FROM compute.server WHERE project_id = $1 AND NOT deleted AND ($2 = '' OR user_id = $2)
"""
SET = """
INSERT INTO compute.quota (project_id, user_id, resource, most)
SELECT $1, $2, * FROM unnest($3::text[], $4::integer[])
    ON CONFLICT (project_id, user_id, resource) DO UPDATE SET most = excluded.most
"""
RESET = "DELETE FROM compute.quota WHERE project_id = $1 AND ($2 = '' OR user_id = $2)"


def shown(version: tuple[int, int]) -> list[str]:
    """The resources that the API has in `version`."""
    hidden: frozenset[str] = frozenset()
    if version >= (2, 57):
        hidden = NETWORKING | FILES
    elif version >= (2, 36):
        hidden = NETWORKING
    return [name for name in DEFAULTS if name not in hidden]


async def quota_limits(store: Store | Tx, project_id: str, user_id: str = "") -> dict[str, int]:
    """What the project may own, or `user_id` in it: the user's own limits, else the project's, else the defaults."""
    return _limits(await store.fetch(LIMITS, project_id, ["", user_id]))


def _limits(rows: Iterable[Any]) -> dict[str, int]:
    limits = dict(DEFAULTS)
    for row in sorted(rows, key=lambda row: bool(row["user_id"])):
        limits[row["resource"]] = row["most"]
    return limits


async def quota_used(store: Store | Tx, project_id: str, user_id: str = "") -> dict[str, int]:
    """What the project, or one user in it, owns now; resources that nobody counts are 0."""
    row = (await store.fetch(USED, project_id, user_id))[0]
    return {**dict.fromkeys(DEFAULTS, 0), **{name: int(row[name]) for name in ("instances", "cores", "ram")}}


async def quota_set(tx: Tx, project_id: str, limits: Mapping[str, int], user_id: str = "") -> None:
    """Set limits; those that are not named stay."""
    await tx.execute(SET, project_id, user_id, list(limits), list(limits.values()))


async def quota_reset(tx: Tx, project_id: str, user_id: str = "") -> None:
    """Go back to the defaults."""
    await tx.execute(RESET, project_id, user_id)


async def servers_fit(tx: Tx, project_id: str, user_id: str, wanted: Mapping[str, int], least: int, most: int) -> int:
    """How many of `most` servers, each of which takes `wanted`, the quotas allow; where there is a limit it holds the
    quota lock until commit.

    Raises QuotaExceeded when it is fewer than `least`.
    """
    rows = await tx.fetch(LIMITS, project_id, ["", user_id])
    project, mine = _limits(row for row in rows if not row["user_id"]), _limits(rows)
    if all(limits[name] < 0 for limits in (project, mine) for name in wanted):
        return most  # nothing is limited, so nothing needs counting
    await tx.lock("quota", project_id)
    used = await quota_used(tx, project_id)
    count = _fitting(project, used, wanted, most)
    if mine != project:
        count = min(count, _fitting(mine, await quota_used(tx, project_id, user_id), wanted, most))
    if count < least:
        raise _exceeded(project if mine == project else mine, used, wanted, least)
    return count


def _fitting(limits: Mapping[str, int], used: Mapping[str, int], wanted: Mapping[str, int], most: int) -> int:
    count = most
    for name, amount in wanted.items():
        if limits[name] >= 0 and amount > 0:
            count = min(count, max(0, limits[name] - used[name]) // amount)
    return count


def _exceeded(limits: Mapping[str, int], used: Mapping[str, int], wanted: Mapping[str, int], count: int) -> Any:
    over = [name for name, each in wanted.items() if 0 <= limits[name] < used[name] + each * count] or list(wanted)
    asked = ", ".join(str(wanted[name] * count) for name in over)
    have = ", ".join(str(used[name]) for name in over)
    most = ", ".join(str(limits[name]) for name in over)
    return QuotaExceeded(
        f"Quota exceeded for {', '.join(over)}: Requested {asked}, but already used {have} of {most} {', '.join(over)}"
    )


async def count_checked(tx: Tx, project_id: str, user_id: str, resource: str, count: int) -> None:
    """Raises QuotaExceeded when owning `count` of `resource` would be too much."""
    most = (await quota_limits(tx, project_id, user_id))[resource]
    if 0 <= most < count:
        raise QuotaExceeded(f"Quota exceeded, too many {resource.replace('_', ' ')}: at most {most} are allowed.")

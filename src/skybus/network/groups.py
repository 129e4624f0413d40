"""Security groups: each project's `default` one, made when somebody first looks at it or needs it.

Hosts guard every port against spoofing and enforce no group yet. The rules of the default group say so: they let
everything in and out. A rule that says less than what is allowed would be a promise that nobody keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skybus import clock
from skybus.errors import NotFound
from skybus.ids import is_uuid, new_id
from skybus.network import errors

RULE_COLUMNS = """
    r.id, r.security_group_id, r.project_id, r.direction, r.ethertype, r.protocol, r.port_range_min, r.port_range_max,
    r.remote_ip_prefix::text AS remote_ip_prefix, r.remote_group_id, r.description, r.created_at
"""
RULE_FROM = "FROM network.security_group_rule r"
RULE_SELECT = f"SELECT {RULE_COLUMNS} {RULE_FROM}"
SELECT = """
SELECT g.id, g.project_id, g.name, g.description, g.stateful, g.revision, g.created_at, g.updated_at,
       COALESCE((SELECT jsonb_agg(jsonb_build_object(
                    'id', r.id, 'security_group_id', r.security_group_id, 'project_id', r.project_id,
                    'direction', r.direction, 'ethertype', r.ethertype, 'protocol', r.protocol,
                    'port_range_min', r.port_range_min, 'port_range_max', r.port_range_max,
                    'remote_ip_prefix', r.remote_ip_prefix, 'remote_group_id', r.remote_group_id,
                    'description', r.description, 'created_at', r.created_at) ORDER BY r.id)
                   FROM network.security_group_rule r WHERE r.security_group_id = g.id), '[]') AS rules
  FROM network.security_group g
"""
FROM = "FROM network.security_group g"
GET = f"{SELECT} WHERE g.id = $1"
RULE_GET = f"{RULE_SELECT} WHERE r.id = $1"
DEFAULT = "SELECT id FROM network.security_group WHERE project_id = $1 AND name = 'default'"
# Whoever gives a group to a port holds it until the port is there, and whoever removes it waits for that.
HOLD = " FOR KEY SHARE"
INSERT = """
INSERT INTO network.security_group (id, project_id, name, description, created_at, updated_at)
VALUES ($1, $2, 'default', 'Default security group', $3, $3)
ON CONFLICT (project_id) WHERE name = 'default' DO NOTHING RETURNING id
"""
RULE_INSERT = """
INSERT INTO network.security_group_rule (id, security_group_id, project_id, direction, ethertype, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""
OF_PROJECT = f"SELECT id FROM network.security_group WHERE project_id = $1 AND id = ANY($2::uuid[]){HOLD}"
LOCK = "SELECT project_id FROM network.security_group WHERE id = $1 FOR UPDATE"
IN_USE = "SELECT 1 FROM network.port WHERE project_id = $1 AND $2 = ANY(security_groups) LIMIT 1"
DELETE = "DELETE FROM network.security_group WHERE id = $1"

_EVERYTHING = (("egress", "IPv4"), ("egress", "IPv6"), ("ingress", "IPv4"), ("ingress", "IPv6"))


async def group_default(tx: Any, project_id: str) -> str:
    """The id of the project's default group, which is made when there is none."""
    found = await tx.fetchval(DEFAULT + HOLD, project_id)
    if found is not None:
        return str(found)
    group_id, now = new_id(), clock.now()
    if await tx.fetchval(INSERT, group_id, project_id, now) is None:
        return str(await tx.fetchval(DEFAULT, project_id))
    rows = [(new_id(), group_id, project_id, direction, kind, now) for direction, kind in _EVERYTHING]
    await tx.executemany(RULE_INSERT, rows)
    return group_id


async def group_delete(tx: Any, group_id: str) -> None:
    """Remove a group with its rules. Raises NotFound, and Conflict while a port has it."""
    project_id = await tx.fetchval(LOCK, group_id)
    if project_id is None:
        raise errors.group_not_found(group_id)
    if await tx.fetchval(IN_USE, project_id, group_id):
        raise errors.group_in_use(group_id)
    await tx.execute(DELETE, group_id)


async def groups_check(tx: Any, project_id: str, group_ids: Sequence[str]) -> list[str]:
    """The ids, without doubles. Raises NotFound for one that is not a group of the project."""
    wanted = list(dict.fromkeys(group_ids))
    found = {row["id"] for row in await tx.fetch(OF_PROJECT, project_id, [one for one in wanted if is_uuid(one)])}
    for group_id in wanted:
        if group_id not in found:
            raise errors.group_not_found(group_id[:64])
    return wanted


async def group_get(store: Any, group_id: str) -> Any:
    """One group with its rules. Raises NotFound."""
    row = await store.fetchrow(GET, group_id) if is_uuid(group_id) else None
    if row is None:
        raise errors.group_not_found(group_id[:64])
    return row


async def rule_get(store: Any, rule_id: str) -> Any:
    """One rule. Raises NotFound."""
    row = await store.fetchrow(RULE_GET, rule_id) if is_uuid(rule_id) else None
    if row is None:
        raise NotFound(f"Security group rule {rule_id[:64]} does not exist", type="SecurityGroupRuleNotFound")
    return row

"""What a list of volumes is narrowed to by its query string, as conditions of one query."""

from __future__ import annotations

import ast
from typing import Any

from skybus.errors import BadRequest
from skybus.http.call import Call
from skybus.http.paging import Where
from skybus.http.times import parse
from skybus.volume.forms import boolean, is_admin

EQUAL = {
    "name": "v.name",
    "display_name": "v.name",
    "status": "v.status",
    "availability_zone": "v.availability_zone",
    "description": "v.description",
    "id": "v.id::text",
    "volume_type": "t.name",
    "volume_type_id": "v.type_id::text",
    "user_id": "v.user_id",
}
LIKE = {"name~": "v.name", "display_name~": "v.name", "status~": "v.status", "description~": "v.description",
        "availability_zone~": "v.availability_zone"}  # fmt: skip
COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "=", "neq": "<>"}
NEVER = frozenset(
    {"snapshot_id", "consistencygroup_id", "group_id", "migration_status", "source_volid", "image_metadata"}
)
"""Attributes that no volume of ours has: whoever asks for a value finds none."""
NOT_FILTERS = frozenset(
    {
        "limit",
        "marker",
        "offset",
        "sort",
        "sort_key",
        "sort_dir",
        "all_tenants",
        "project_id",
        "tenant_id",
        "with_count",
        "host",
    }
)
STRICT_SINCE = (3, 31)
"""From here on a filter that means nothing is refused."""


def conditions_of(call: Call) -> Where:
    """The conditions for the caller's view and for every filter. Raises BadRequest."""
    where = Where()
    where.add("v.deleted_at IS NULL")
    query = call.query
    _see(call, where)
    for name, value in query.items():
        if name not in NOT_FILTERS:
            _filter(call, where, name, value)
    return where


def _see(call: Call, where: Where) -> None:
    admin, query = is_admin(call), call.query
    if admin and boolean(query.get("all_tenants", "0"), "all_tenants"):
        wanted = query.get("project_id") or query.get("tenant_id")
        if wanted:
            where.add("v.project_id = {}", wanted)
    else:
        where.add("v.project_id = {}", call.project_id)
    if admin and query.get("host"):
        where.add("v.host = {}", query["host"].partition("@")[0])


def _filter(call: Call, where: Where, name: str, value: str) -> None:
    if name in EQUAL:
        where.add(f"{EQUAL[name]} = {{}}", value)
    elif name in LIKE and call.version >= (3, 34):
        where.add(f"position({{}}::text in {LIKE[name]}) > 0", value)
    elif name == "size":
        where.add("v.size_gib = {}", _number(name, value))
    elif name == "bootable":
        where.add("v.bootable = {}", boolean(value, name))
    elif name in ("multiattach", "encrypted"):
        where.add("{}::boolean", not boolean(value, name))
    elif name == "metadata":
        where.add("v.metadata @> {}::jsonb", _metadata(value))
    elif name in ("created_at", "updated_at") and call.version >= (3, 60):
        _when(where, name, value)
    elif name in NEVER:
        where.add("false")
    elif call.version >= STRICT_SINCE:
        raise BadRequest(f"Invalid filters {name[:64]} are found in query options.")


def _when(where: Where, name: str, value: str) -> None:
    """`gt:2026-01-01T00:00:00,lt:...`"""
    for part in value.split(","):
        operator, colon, moment = part.partition(":")
        if not colon or operator not in COMPARISONS:
            operator, moment = "eq", part
        where.add(f"v.{name} {COMPARISONS[operator]} {{}}", parse(moment, name))


def _metadata(value: str) -> dict[str, Any]:
    """`{'key': 'value'}`, as Cinder's clients spell it."""
    try:
        wanted = ast.literal_eval(value) if len(value) <= 2000 else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        wanted = None
    if not isinstance(wanted, dict) or not all(isinstance(one, str) for pair in wanted.items() for one in pair):
        raise BadRequest("Invalid metadata filter: it must be a dictionary of strings.")
    return wanted


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdecimal()) or len(value) > 9:
        raise BadRequest(f"Invalid filter {name}: {value[:32]!r} is not a number.")
    return int(value)

"""What a list of images is narrowed to by its query string, as conditions of one query."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest
from skybus.http.call import Call
from skybus.http.paging import Where
from skybus.http.times import parse
from skybus.image.images import STATUS

VISIBILITIES = ("public", "private", "shared", "community", "all")
MEMBER_STATUSES = ("pending", "accepted", "rejected", "all")
LISTED = {
    "id": "i.id::text",
    "name": "i.name",
    "status": STATUS,
    "container_format": "i.container_format",
    "disk_format": "i.disk_format",
}
"""Filters that take one value or `in:` and several."""
COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "=", "neq": "<>"}
NUMBERS = {"size_min": "i.size >= {}", "size_max": "i.size <= {}", "size": "i.size = {}",
           "min_disk": "i.min_disk = {}", "min_ram": "i.min_ram = {}"}  # fmt: skip
NOT_FILTERS = frozenset(
    {
        "limit",
        "marker",
        "sort",
        "sort_key",
        "sort_dir",
        "visibility",
        "member_status",
        "tag",
        "os_hidden",
    }
)
MAX_VALUES = 100


def conditions_of(call: Call) -> Where:
    """The conditions for the caller's view and for every filter. Raises BadRequest."""
    where = Where()
    query = call.query
    _see(call, where)
    _hide(where, query.get("os_hidden", "false"))
    for tag in query.getall("tag", []):
        where.add("{} = ANY (i.tags)", tag.strip())
    for name, value in query.items():
        if name not in NOT_FILTERS:
            _filter(where, name, value)
    return where


def _see(call: Call, where: Where) -> None:
    """Whose images: the caller's own, public ones, and shared ones that its project accepted; an admin's are all."""
    visibility = call.query.get("visibility")
    status = call.query.get("member_status", "accepted")
    if visibility is not None and visibility not in VISIBILITIES:
        raise BadRequest(f"Invalid visibility value: {visibility[:32]}")
    if status not in MEMBER_STATUSES:
        raise BadRequest(f"Invalid status: {status[:32]}")
    project_id = call.caller.project_id or ""
    if "admin" not in call.caller.roles:
        shared = (
            "i.visibility = 'shared' AND EXISTS (SELECT FROM image.member m WHERE m.image_id = i.id "
            "AND m.member_id = {} AND ({} = 'all' OR m.status = {}))"
        )
        seen = f"i.owner = {{}} OR i.visibility IN ('public', 'community') OR ({shared})"
        where.add(seen, project_id, project_id, status, status)
    if visibility is None:
        where.add("i.visibility <> 'community' OR i.owner = {}", project_id)
    elif visibility != "all":
        where.add("i.visibility = {}", visibility)


def _hide(where: Where, value: str) -> None:
    where.add("i.os_hidden = {}", _boolean("os_hidden", value))


def _filter(where: Where, name: str, value: str) -> None:
    if name in LISTED:
        _among(where, LISTED[name], value)
    elif name in NUMBERS:
        where.add(NUMBERS[name], _number(name, value))
    elif name == "owner":
        where.add("i.owner = {}", value)
    elif name == "protected":
        where.add("i.protected = {}", _boolean(name, value))
    elif name in ("created_at", "updated_at"):
        operator, _, moment = value.partition(":") if value.split(":", 1)[0] in COMPARISONS else ("eq", "", value)
        where.add(f"date_trunc('second', i.{name}) {COMPARISONS[operator]} {{}}", parse(moment, name))
    elif name in ("checksum", "os_hash_algo", "os_hash_value"):
        column = "CASE WHEN i.data_name IS NOT NULL THEN 'sha512' END" if name == "os_hash_algo" else f"i.{name}"
        where.add(f"{column} = {{}}", value)
    elif name == "changes-since":
        raise BadRequest('The "changes-since" filter is no longer available on v2.')
    else:
        where.add("i.properties ->> {}::text = {}", name, value)


def _among(where: Where, column: str, value: str) -> None:
    values = _values(value.removeprefix("in:")) if value.startswith("in:") else [value]
    where.add(f"{column} = ANY ({{}}::text[])", values)


def _values(text: str) -> list[str]:
    """The values of `in:a,"b,c",d`. Raises BadRequest."""
    values: list[str] = []
    rest = text
    while rest:
        if rest.startswith('"'):
            value, quote, rest = rest[1:].partition('"')
            if not quote or (rest and not rest.startswith(",")):
                raise BadRequest("Invalid filter value: quotes do not match, or no comma follows them.")
            rest = rest[1:]
        else:
            value, _, rest = rest.partition(",")
        values.append(value)
    if not values or len(values) > MAX_VALUES:
        raise BadRequest(f"Invalid filter value: between 1 and {MAX_VALUES} values may follow in:.")
    return values


def _number(name: str, value: str) -> int:
    if not value.isdecimal() or len(value) > 18:
        raise BadRequest(f"Invalid value for {name}: {value[:32]!r} is not a number.")
    return int(value)


def _boolean(name: str, value: str) -> Any:
    text = value.lower()
    if text not in ("true", "false", "1", "0"):
        raise BadRequest(f"Invalid value for {name}: {value[:32]!r} is neither true nor false.")
    return text in ("true", "1")

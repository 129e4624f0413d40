"""Lists: pages by key, not by offset, and the links to the next one.

The order is (sort keys..., unique key); a marker's row says where the page begins, so a page costs the same wherever
it is and nothing is skipped or doubled while rows come and go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from skybus.errors import BadRequest
from skybus.http.call import Call


class Where:
    """Conditions of a query, with their arguments numbered as Postgres wants them."""

    def __init__(self) -> None:
        self.conditions: list[str] = []
        self.args: list[Any] = []

    def add(self, condition: str, *values: Any) -> None:
        """`condition` with one `{}` for each value: `where.add("p.name = {}", name)`."""
        places = []
        for value in values:
            self.args.append(value)
            places.append(f"${len(self.args)}")
        self.conditions.append(condition.format(*places))

    @property
    def sql(self) -> str:
        """`WHERE ... AND ...`, or nothing."""
        return ("WHERE " + " AND ".join(f"({one})" for one in self.conditions)) if self.conditions else ""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list, in which order, a request asks for."""

    limit: int
    marker: str | None
    sort: tuple[tuple[str, bool], ...]
    """(key, ascending)."""
    reverse: bool = False
    """Neutron's page_reverse: the page before the marker."""

    def order(self, columns: Mapping[str, str], unique: str) -> list[tuple[str, bool]]:
        """(column, ascending) pairs; `columns` maps the API's sort keys to SQL, `unique` makes the order total."""
        pairs = [(columns[key], up != self.reverse) for key, up in self.sort]
        if unique not in [column for column, _ in pairs]:
            pairs.append((unique, pairs[-1][1] if pairs else not self.reverse))
        return pairs

    def after(self, where: Where, order: Sequence[tuple[str, bool]], marker_row: Sequence[Any]) -> None:
        """Restrict `where` to what comes behind the row whose values for `order` are `marker_row`.

        Columns must not be null (COALESCE them).
        """
        steps = []
        for index, (column, up) in enumerate(order):
            same = [f"{order[i][0]} = {_place(where, marker_row[i])}" for i in range(index)]
            beyond = f"{column} {'>' if up else '<'} {_place(where, marker_row[index])}"
            steps.append("(" + " AND ".join([*same, beyond]) + ")")
        where.conditions.append(" OR ".join(steps))

    def tail(self, order: Sequence[tuple[str, bool]], extra: int = 0) -> str:
        """`ORDER BY ... LIMIT ...`; with `extra` = 1 the caller sees whether another page follows."""
        keys = ", ".join(f"{column} {'ASC' if up else 'DESC'}" for column, up in order)
        return f"ORDER BY {keys} LIMIT {self.limit + extra}"


def _place(where: Where, value: Any) -> str:
    where.args.append(value)
    return f"${len(where.args)}"


def page_of(
    call: Call,
    *,
    keys: Mapping[str, str],
    default_sort: str,
    default_up: bool = False,
    max_limit: int = 1000,
    default_limit: int | None = None,
) -> Page:
    """The page that a request asks for by limit, marker and sort_key/sort_dir or sort. Raises BadRequest."""
    query = call.query
    limit = default_limit or max_limit
    if "limit" in query:
        text = query["limit"]
        if not text.isdecimal():
            raise BadRequest(f"limit must be a non-negative integer, not {text[:32]!r}.")
        # More digits than any limit has: int() would refuse thousands of them.
        limit = min(int(text), max_limit) if len(text) < 20 else max_limit
    return Page(
        limit=limit,
        marker=query.get("marker") or None,
        sort=_sort(call, keys, default_sort, default_up),
        reverse=query.get("page_reverse", "").lower() in ("true", "1"),
    )


def _sort(call: Call, keys: Mapping[str, str], default: str, default_up: bool) -> tuple[tuple[str, bool], ...]:
    pairs: list[tuple[str, str]] = []
    if call.query.get("sort"):
        for part in call.query["sort"].split(","):
            key, _, direction = part.strip().partition(":")
            pairs.append((key, direction))
    else:
        directions = call.query.getall("sort_dir", [])
        # A direction alone is that of the default.
        for index, key in enumerate(call.query.getall("sort_key", [default] if directions else [])):
            pairs.append((key, directions[index] if index < len(directions) else ""))
    sort = []
    for key, direction in pairs:
        if key not in keys:
            raise BadRequest(f"Sort key {key[:64]!r} is not known or not allowed.")
        if direction.lower() not in ("", "asc", "desc"):
            raise BadRequest(f"Sort direction {direction[:16]!r} is neither asc nor desc.")
        sort.append((key, direction.lower() == "asc" if direction else default_up))
    return tuple(sort) or ((default, default_up),)


def next_url(call: Call, path: str, marker: str, limit: int | None = None) -> str:
    """The URL of the page behind `marker`: the request's own parameters with the marker exchanged."""
    parameters = [(key, value) for key, value in call.query.items() if key not in ("marker", "limit")]
    if "limit" in call.query or limit is not None:
        parameters.append(("limit", call.query.get("limit") or str(limit)))
    parameters.append(("marker", marker))
    return f"{path}?{urlencode(parameters)}"

"""Neutron's lists: filters by any attribute, chosen fields, any order, pages by key with links."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec

from skybus.errors import NotFound
from skybus.http.call import Call, Reply
from skybus.http.paging import Page, Where, page_of
from skybus.ids import is_uuid
from skybus.network.errors import invalid

MOST = 5000
"""Rows of one page, whatever limit is asked for."""
_LIMIT_DIGITS = 18
_PAGING = {"limit", "marker", "page_reverse", "sort_key", "sort_dir", "fields"}

_INT = re.compile(r"-?[0-9]{1,15}")
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}|[0-9a-fA-F]{2}(-[0-9a-fA-F]{2}){5}")

Kind = Literal["text", "uuid", "bool", "int", "inet", "mac"]
_CASTS = {"text": "text[]", "uuid": "uuid[]", "bool": "boolean[]", "int": "bigint[]", "inet": "inet[]",
          "mac": "macaddr[]"}  # fmt: skip


class Filter(msgspec.Struct, frozen=True):
    """An attribute that a list may be filtered by: the SQL that is compared, and what its values are."""

    sql: str
    kind: Kind = "text"


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of resource as a list shows it."""

    name: str
    """Key of the list in the response, and last part of its path."""
    path: str
    select: str
    """SELECT ... FROM ...; the WHERE follows."""
    unique: str
    """SQL of the id."""
    filters: Mapping[str, Filter]
    sorts: Mapping[str, str]
    """SQL of each attribute that may order the list; none of them is ever null."""
    marker_select: str
    """FROM ... of the columns in `sorts`."""
    not_found: Callable[[str], NotFound]
    special: Mapping[str, Callable[[Where, list[str]], None]] = {}
    """Filters that are no comparison of one column."""


def chosen(call: Call, view: dict[str, Any]) -> dict[str, Any]:
    """The attributes of `view` that `fields` asks for; all without it."""
    fields = set(call.query.getall("fields", []))
    return {key: value for key, value in view.items() if key in fields} if fields else view


async def listed(call: Call, collection: Collection, where: Where, view: Callable[[Any], dict[str, Any]]) -> Reply:
    """The page of a collection that `call` asks for, among the rows that `where` lets it see."""
    if len(call.query.get("limit", "")) > _LIMIT_DIGITS:
        raise invalid("limit is too large")
    page = page_of(call, keys=collection.sorts, default_sort="id", default_up=True, max_limit=MOST)
    if page.limit == 0:
        page = msgspec.structs.replace(page, limit=MOST)
    add_filters(call, collection, where)
    order = page.order(collection.sorts, collection.unique)
    if page.marker is not None:
        page.after(where, order, await _marker_row(call, collection, page.marker, [column for column, _ in order]))
    rows = await call.store.fetch(f"{collection.select} {where.sql} {page.tail(order, extra=1)}", *where.args)
    more = len(rows) > page.limit
    rows = rows[: page.limit]
    if page.reverse:
        rows.reverse()
    body: dict[str, Any] = {collection.name: [chosen(call, view(row)) for row in rows]}
    links = _links(call, collection, page, [row["id"] for row in rows], more)
    if links:
        body[f"{collection.name}_links"] = links
    return Reply(body)


async def _marker_row(call: Call, collection: Collection, marker: str, columns: list[str]) -> Any:
    if not is_uuid(marker):
        raise collection.not_found(marker[:64])
    sql = f"SELECT {', '.join(columns)} {collection.marker_select} WHERE {collection.unique} = $1"
    row = await call.store.fetchrow(sql, marker)
    if row is None:
        raise collection.not_found(marker)
    return row


def add_filters(call: Call, collection: Collection, where: Where) -> None:
    """Restrict `where` to what the query asks for. Raises BadRequest for an attribute that is none."""
    for name in dict.fromkeys(call.query.keys()):
        if name in _PAGING or name == "sort":
            continue
        values = call.query.getall(name)
        if any("\0" in value for value in values):
            raise invalid(f"the filter {name[:64]} holds a character that no attribute has")
        if name in collection.special:
            collection.special[name](where, values)
        elif name in collection.filters:
            one = collection.filters[name]
            where.add(f"{one.sql} = ANY({{}}::{_CASTS[one.kind]})", typed(name, one.kind, values))
        else:
            raise invalid(f"[{name[:64]!r}] is invalid attribute for filtering")


def typed(name: str, kind: Kind, values: Iterable[str]) -> list[Any]:
    """Query values in their attribute's type. A value that no attribute can have finds nothing."""
    if kind == "bool":
        return [truth(name, value) for value in values]
    if kind == "int":
        return [int(value) for value in values if _INT.fullmatch(value)]
    if kind == "uuid":
        return [value for value in values if is_uuid(value)]
    if kind == "inet":
        return [value for value in values if _is_address(value)]
    if kind == "mac":
        return [value for value in values if is_mac(value)]
    return list(values)


def truth(name: str, text: str) -> bool:
    """Raises BadRequest unless `text` is a way to say yes or no."""
    if text.lower() in ("true", "1", "yes"):
        return True
    if text.lower() in ("false", "0", "no"):
        return False
    raise invalid(f"'{text[:32]}' cannot be converted to boolean for {name}")


def is_mac(text: str) -> bool:
    """Whether `text` is a MAC address, with colons or with dashes."""
    return _MAC.fullmatch(text) is not None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _links(call: Call, collection: Collection, page: Page, ids: list[str], more: bool) -> list[dict[str, str]]:
    if not ids:
        return []
    has_next = page.reverse or more
    has_previous = more if page.reverse else page.marker is not None
    links = []
    if has_next:
        links.append({"rel": "next", "href": _link(call, collection, ids[-1], reverse=False)})
    if has_previous:
        links.append({"rel": "previous", "href": _link(call, collection, ids[0], reverse=True)})
    return links


def _link(call: Call, collection: Collection, marker: str, *, reverse: bool) -> str:
    kept = [(key, value) for key, value in call.query.items() if key not in ("marker", "page_reverse")]
    kept.append(("marker", marker))
    if reverse:
        kept.append(("page_reverse", "True"))
    return f"{call.base}{collection.path}?{urlencode(kept)}"

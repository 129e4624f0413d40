"""What the nouns of this API share: lists with filters and links, checked ids, the attributes that may be any."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec

from skybus.errors import BadRequest, Conflict, NotFound, Unavailable
from skybus.http.call import Call, Reply
from skybus.http.paging import Where, next_url, page_of
from skybus.identity.audit.audit_events import changes_keep
from skybus.identity.login.login_memory import change_count
from skybus.messages.identity import PREFIX
from skybus.store import Tx

View = Callable[[Any, str], dict[str, Any]]
"""(row, base URL) -> JSON."""
MOST = 10_000
"""Rows of one page; clients of Keystone expect all, and follow `next` when there are more."""

MOST_EXTRA = 64
LONGEST_EXTRA = 131_072

_ID = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_COMPARISONS = {
    "equals": ("{} = {{}}", "{}"),
    "iequals": ("lower({}) = lower({{}})", "{}"),
    "contains": ("{} LIKE {{}}", "%{}%"),
    "icontains": ("{} ILIKE {{}}", "%{}%"),
    "startswith": ("{} LIKE {{}}", "{}%"),
    "istartswith": ("{} ILIKE {{}}", "{}%"),
    "endswith": ("{} LIKE {{}}", "%{}"),
    "iendswith": ("{} ILIKE {{}}", "%{}"),
}


def path_id(call: Call, name: str, noun: str) -> str:
    """The id in the path. Raises NotFound for what cannot be one."""
    value = call.args[name]
    if _ID.fullmatch(value) is None:
        raise missing(noun, value)
    return value


def missing(noun: str, identifier: str) -> NotFound:
    """Keystone's sentence for what is not there."""
    shown = identifier if identifier.isprintable() else repr(identifier)
    return NotFound(f"Could not find {noun}: {shown[:64]}.")


def body_of(call: Call, noun: str) -> dict[str, Any]:
    """The object in the checked body. Raises BadRequest for text that no database column can hold."""
    asked: dict[str, Any] = call.body[noun]
    _refuse_nul(asked)
    return asked


def _refuse_nul(value: Any) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise BadRequest("The request body holds a NUL character, which no attribute may contain.")
    elif isinstance(value, dict):
        for key, part in value.items():
            _refuse_nul(key)
            _refuse_nul(part)
    elif isinstance(value, list):
        for part in value:
            _refuse_nul(part)


def extra_of(
    asked: Mapping[str, Any], known: frozenset[str], before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The attributes that Keystone keeps without knowing them, changed by `asked`.

    Raises BadRequest for more than 64 of them or 128 KiB: change by change they would grow for ever.
    """
    extra = {**(before or {}), **{key: value for key, value in asked.items() if key not in known}}
    if len(extra) > MOST_EXTRA or len(msgspec.json.encode(extra)) > LONGEST_EXTRA:
        raise BadRequest(f"A resource has at most {MOST_EXTRA} attributes of its own, of {LONGEST_EXTRA} bytes in all.")
    return extra


def flag(text: str) -> bool:
    """A boolean of the query string: everything but 0, false, no and off is true, as for Keystone."""
    return text.strip().lower() not in ("0", "false", "no", "off", "n", "f")


def text_filter(call: Call, where: Where, name: str, column: str) -> None:
    """`name=...` and Keystone's inexact `name__contains=...` and the like."""
    if name in call.query:
        where.add(f"{column} = {{}}", query_text(call, name))
    for suffix, (condition, pattern) in _COMPARISONS.items():
        key = f"{name}__{suffix}"
        if key in call.query:
            value = query_text(call, key)
            if "LIKE" in condition:
                value = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            where.add(condition.format(column), pattern.format(value) if "%" in pattern else value)


def query_text(call: Call, name: str) -> str:
    """A parameter of the query string. Raises BadRequest for one that the database cannot hold."""
    value = call.query[name]
    if len(value) > 1024 or not value.isprintable():
        raise BadRequest(f"Invalid value of the query parameter {name}.")
    return value


def flag_filter(call: Call, where: Where, name: str, column: str) -> None:
    """`enabled=...`."""
    if name in call.query:
        where.add(f"{column} = {{}}", flag(call.query[name]))


async def listing(
    call: Call, collection: str, select: str, where: Where, view: View, key: str, most: int = MOST
) -> Reply:
    """One page of at most `most` rows, by the unique column `key`, with the links to itself and to the next."""
    page = page_of(call, keys={"id": key}, default_sort="id", default_up=True, max_limit=most)
    order = page.order({"id": key}, key)
    if page.marker is not None:
        page.after(where, order, [query_text(call, "marker")])
    rows = await call.store.fetch(" ".join((select, where.sql, page.tail(order, 1))), *where.args)
    more = len(rows) > page.limit
    rows = rows[: page.limit]
    base = call.base + "/v3"
    links = links_of(call)
    if more and rows:
        links["next"] = next_url(call, call.public_url + call.request.path, rows[-1]["id"])
    body: dict[str, Any] = {collection: [view(row, base) for row in rows], "links": links}
    if more:
        body["truncated"] = True
    return Reply(body)


def links_of(call: Call) -> dict[str, str | None]:
    """The links of a list that has one page."""
    return {"self": call.public_url + call.request.path_qs, "previous": None, "next": None}


def whole(call: Call, collection: str, items: list[dict[str, Any]]) -> Reply:
    """A list without pages."""
    return Reply({collection: items, "links": links_of(call)})


@asynccontextmanager
async def change(call: Call) -> AsyncIterator[Tx]:
    """A transaction whose identity events are kept in the audit trail, and which this process applies to its own memory
    before it answers.

    Raises Conflict when something that it refers to was deleted in the same moment, and Unavailable when it and another
    one waited for each other.
    """
    try:
        async with call.transaction() as tx:
            yield tx
            await changes_keep(tx, call)
            await change_count(tx)
    except asyncpg.ForeignKeyViolationError as error:
        raise Conflict("Something that this request refers to was deleted in the same moment.") from error
    except asyncpg.DeadlockDetectedError as error:
        raise Unavailable("Another request was in the way of this one. Please try again.") from error
    identity = call.service("identity")
    for post in tx.posts:
        if post.envelope.type.startswith(PREFIX):
            await identity.apply_event(post.envelope.type, msgspec.json.decode(post.envelope.body))

"""Namespaces of metadata definitions as rows. A namespace is known by its name, which is unique in the whole cloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from skybus import clock
from skybus.errors import NotFound, TooLarge
from skybus.http.paging import Page, Where

MAX_OWNED = 1000
COLUMNS = "namespace, display_name, description, visibility, protected, owner, created_at, updated_at"
INSERT = f"""
INSERT INTO image.metadef_namespace
       (namespace, display_name, description, visibility, protected, owner, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
ON CONFLICT (namespace) DO NOTHING
RETURNING {COLUMNS}
"""
GET = f"SELECT {COLUMNS} FROM image.metadef_namespace WHERE namespace = $1"
GET_LOCKED = f"{GET} FOR UPDATE"
OWNED = "SELECT count(*) FROM image.metadef_namespace WHERE owner = $1"
# What would be called like another one is not changed.
UPDATE = f"""
UPDATE image.metadef_namespace
   SET namespace = $2, display_name = $3, description = $4, visibility = $5, protected = $6, owner = $7,
       updated_at = $8
 WHERE namespace = $1
   AND ($1 = $2 OR NOT EXISTS (SELECT FROM image.metadef_namespace o WHERE o.namespace = $2))
RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM image.metadef_namespace WHERE namespace = $1"

SORT_KEYS: Mapping[str, str] = {
    "namespace": "n.namespace",
    "display_name": "COALESCE(n.display_name, '')",
    "description": "COALESCE(n.description, '')",
    "visibility": "n.visibility",
    "protected": "n.protected",
    "owner": "n.owner",
    "created_at": "n.created_at",
    "updated_at": "n.updated_at",
}


class Namespace(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace without what is in it."""

    namespace: str
    display_name: str | None
    description: str | None
    visibility: str
    protected: bool
    owner: str
    """Project that sees it while it is private."""
    created_at: datetime
    updated_at: datetime


def not_found(namespace: str) -> NotFound:
    """The 404 of a namespace that is not there or not the caller's to see."""
    return NotFound(f"Namespace {namespace[:80]} not found")


async def _names_lock(tx: Any) -> None:
    """One change of names at a time: a rename cannot meet a create of the same name."""
    await tx.lock("image", "metadef-names")


async def namespace_insert(tx: Any, said: Mapping[str, Any], owner: str) -> Namespace | None:
    """Add what a request says; None when the name is taken. Raises TooLarge when `owner` has too many."""
    await _names_lock(tx)
    row = await tx.fetchrow(
        INSERT,
        said["namespace"],
        said.get("display_name"),
        said.get("description"),
        said.get("visibility", "private"),
        said.get("protected", False),
        owner,
        clock.now(),
    )
    await _check_owned(tx, owner)
    return Namespace(**row) if row is not None else None


async def _check_owned(tx: Any, owner: str) -> None:
    if await tx.fetchval(OWNED, owner) > MAX_OWNED:
        raise TooLarge(f"A project may own {MAX_OWNED} metadata definition namespaces.")


async def namespace_get(store: Any, namespace: str, *, lock: bool = False) -> Namespace | None:
    """The namespace, whoever owns it; with `lock`, neither it nor what is in it changes before the transaction ends."""
    row = await store.fetchrow(GET_LOCKED if lock else GET, namespace)
    return Namespace(**row) if row is not None else None


async def namespace_list(store: Any, where: Where, page: Page) -> list[Namespace]:
    """One page, and one more when another page follows. Raises NotFound for an unknown marker."""
    order = page.order(SORT_KEYS, "n.namespace")
    if page.marker is not None:
        page.after(where, order, await _marker(store, page.marker, [column for column, _ in order]))
    sql = f"SELECT {COLUMNS} FROM image.metadef_namespace n {where.sql} {page.tail(order, 1)}"
    return [Namespace(**row) for row in await store.fetch(sql, *where.args)]


async def _marker(store: Any, namespace: str, columns: Sequence[str]) -> Sequence[Any]:
    sql = f"SELECT {', '.join(columns)} FROM image.metadef_namespace n WHERE n.namespace = $1"
    row: Sequence[Any] | None = await store.fetchrow(sql, namespace)
    if row is None:
        raise not_found(namespace)
    return row


async def namespace_update(tx: Any, name: str, said: Mapping[str, Any], owner: str) -> Namespace | None:
    """Write what a request says in the place of everything; None when the new name is another one's."""
    await _names_lock(tx)
    row = await tx.fetchrow(
        UPDATE,
        name,
        said["namespace"],
        said.get("display_name"),
        said.get("description"),
        said.get("visibility", "private"),
        said.get("protected", False),
        owner,
        clock.now(),
    )
    await _check_owned(tx, owner)
    return Namespace(**row) if row is not None else None


async def namespace_delete(tx: Any, namespace: str) -> None:
    """Remove it and everything in it."""
    await tx.execute(DELETE, namespace)

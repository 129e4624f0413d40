"""Flavors: the sizes that servers come in, and who may use them."""

from __future__ import annotations

from typing import Any

import asyncpg

from skybus import clock
from skybus.errors import BadRequest, Conflict, NotFound
from skybus.http.paging import Page, Where
from skybus.ids import new_id
from skybus.messages.compute import FlavorChanged
from skybus.store import Store, Tx

Reader = Store | Tx

COLUMNS = """f.id, f.name, f.vcpus, f.memory_mib, f.disk_gib, f.ephemeral_gib, f.swap_mib, f.rxtx_factor, f.is_public,
             f.disabled, f.description, f.extra_specs, f.created_at"""
GET = f"SELECT {COLUMNS} FROM compute.flavor f WHERE f.id = $1"
SEEN = """(f.is_public AND NOT f.disabled) OR EXISTS
          (SELECT 1 FROM compute.flavor_access a WHERE a.flavor_id = f.id AND a.project_id = {})"""
INSERT = """
INSERT INTO compute.flavor AS f (id, name, vcpus, memory_mib, disk_gib, ephemeral_gib, swap_mib, rxtx_factor, is_public,
                                 description, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
INSERT_NEW = INSERT + f"RETURNING {COLUMNS}"
INSERT_MISSING = INSERT + "ON CONFLICT DO NOTHING RETURNING f.id"
DESCRIBE = f"UPDATE compute.flavor f SET description = $2 WHERE f.id = $1 RETURNING {COLUMNS}"
DELETE = "DELETE FROM compute.flavor WHERE id = $1 RETURNING id"
SPECS_ADD = "UPDATE compute.flavor SET extra_specs = extra_specs || $2 WHERE id = $1 RETURNING extra_specs"
SPEC_DROP = "UPDATE compute.flavor SET extra_specs = extra_specs - $2 WHERE id = $1 AND extra_specs ? $2 RETURNING id"
ACCESS = "SELECT project_id FROM compute.flavor_access WHERE flavor_id = $1 ORDER BY project_id"
ACCESS_ADD = "INSERT INTO compute.flavor_access (flavor_id, project_id) VALUES ($1, $2)"
ACCESS_DROP = "DELETE FROM compute.flavor_access WHERE flavor_id = $1 AND project_id = $2 RETURNING flavor_id"

SORT_KEYS = {
    "flavorid": "f.id",
    "id": "f.id",
    "name": "f.name",
    "memory_mb": "f.memory_mib",
    "vcpus": "f.vcpus",
    "root_gb": "f.disk_gib",
    "ephemeral_gb": "f.ephemeral_gib",
    "swap": "f.swap_mib",
    "rxtx_factor": "f.rxtx_factor",
    "is_public": "f.is_public",
    "disabled": "f.disabled",
    "created_at": "f.created_at",
}

DEFAULTS = (
    # id, name, vcpus, memory MiB, disk GiB
    ("42", "m1.nano", 1, 128, 1),
    ("84", "m1.micro", 1, 192, 1),
    ("1", "m1.tiny", 1, 256, 1),
    ("2", "m1.small", 1, 1024, 10),
    ("3", "m1.medium", 2, 2048, 20),
    ("4", "m1.large", 4, 4096, 40),
    ("5", "m1.xlarge", 8, 8192, 80),
)
"""What a new cloud offers; small ones first, since a cloud on one machine has little room."""


async def bootstrap(tx: Tx) -> list[str]:
    """Make the default flavors that are missing; answer the ids of those that were made."""
    made = []
    for id_, name, vcpus, memory, disk in DEFAULTS:
        args = (id_, name, vcpus, memory, disk, 0, 0, 1.0, True, None, clock.now())
        if await tx.fetchval(INSERT_MISSING, *args) is not None:
            made.append(id_)
            tx.publish(FlavorChanged(flavor_id=id_, change="created"))
    return made


async def flavor_get(store: Reader, flavor_id: str, *, project_id: str | None = None) -> Any:
    """The flavor's row, as `project_id` sees it; None sees all. Raises NotFound."""
    row = await store.fetchrow(GET, flavor_id)
    if row is not None and project_id is not None and not row["is_public"]:
        allowed = {one["project_id"] for one in await store.fetch(ACCESS, flavor_id)}
        row = row if project_id in allowed else None
    if row is None:
        raise NotFound(f"Flavor {flavor_id[:64]} could not be found.", code="flavor.not-found")
    return row


async def flavor_list(
    store: Reader,
    page: Page,
    *,
    project_id: str | None,
    is_public: bool | None = None,
    min_ram: int | None = None,
    min_disk: int | None = None,
) -> tuple[list[Any], bool]:
    """One page of flavors, and whether another follows. `project_id` None sees all, or those that are as `is_public`.

    Raises BadRequest when the marker is no flavor.
    """
    where = Where()
    if project_id is not None:
        where.add(SEEN, project_id)
    elif is_public is not None:
        where.add("f.is_public = {}", is_public)
    if min_ram is not None:
        where.add("f.memory_mib >= {}", min_ram)
    if min_disk is not None:
        where.add("f.disk_gib >= {}", min_disk)
    order = page.order(SORT_KEYS, "f.id")
    if page.marker is not None:
        marker = await store.fetchrow(GET, page.marker)
        if marker is None:
            raise BadRequest(f"marker [{page.marker[:64]}] not found")
        page.after(where, order, [marker[column.removeprefix("f.")] for column, _ in order])
    rows = await store.fetch(
        f"SELECT {COLUMNS} FROM compute.flavor f {where.sql} {page.tail(order, 1)}",
        *where.args,
    )
    return rows[: page.limit], len(rows) > page.limit


async def flavor_create(
    tx: Tx,
    *,
    name: str,
    vcpus: int,
    memory_mib: int,
    disk_gib: int,
    flavor_id: str | None = None,
    ephemeral_gib: int = 0,
    swap_mib: int = 0,
    rxtx_factor: float = 1.0,
    is_public: bool = True,
    description: str | None = None,
) -> Any:
    """Make a flavor; answer its row. Raises Conflict when the id or the name is taken."""
    id_ = flavor_id or new_id()
    sizes = (vcpus, memory_mib, disk_gib, ephemeral_gib, swap_mib, rxtx_factor)
    try:
        row = await tx.fetchrow(INSERT_NEW, id_, name, *sizes, is_public, description, clock.now())
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "flavor_pkey":
            raise Conflict(f"Flavor with ID {id_} already exists.") from None
        raise Conflict(f"Flavor with name {name} already exists.") from None
    tx.publish(FlavorChanged(flavor_id=id_, change="created"))
    return row


async def flavor_describe(tx: Tx, flavor_id: str, description: str | None) -> Any:
    """Change the description; answer the row. Raises NotFound."""
    row = await tx.fetchrow(DESCRIBE, flavor_id, description)
    if row is None:
        raise NotFound(f"Flavor {flavor_id[:64]} could not be found.")
    tx.publish(FlavorChanged(flavor_id=flavor_id, change="updated"))
    return row


async def flavor_delete(tx: Tx, flavor_id: str) -> None:
    """Take a flavor from the offer; servers that were made with it keep what they have. Raises NotFound."""
    if await tx.fetchval(DELETE, flavor_id) is None:
        raise NotFound(f"Flavor {flavor_id[:64]} could not be found.")
    tx.publish(FlavorChanged(flavor_id=flavor_id, change="deleted"))


async def flavor_specs_add(tx: Tx, flavor_id: str, specs: dict[str, str]) -> dict[str, str]:
    """Set extra specs beside those that are there; answer all. Raises NotFound."""
    merged: dict[str, str] | None = await tx.fetchval(SPECS_ADD, flavor_id, specs)
    if merged is None:
        raise NotFound(f"Flavor {flavor_id[:64]} could not be found.")
    tx.publish(FlavorChanged(flavor_id=flavor_id, change="updated"))
    return merged


async def flavor_spec_drop(tx: Tx, flavor_id: str, key: str) -> None:
    """Remove one extra spec. Raises NotFound when the flavor or the spec is not there."""
    if await tx.fetchval(SPEC_DROP, flavor_id, key) is None:
        raise NotFound(f"Flavor {flavor_id[:64]} has no extra specs with key {key[:255]}.")
    tx.publish(FlavorChanged(flavor_id=flavor_id, change="updated"))


async def flavor_access(store: Reader, flavor_id: str) -> list[str]:
    """The projects that see a flavor which is not public."""
    return [row["project_id"] for row in await store.fetch(ACCESS, flavor_id)]


async def flavor_access_add(tx: Tx, flavor_id: str, project_id: str) -> None:
    """Let a project see the flavor. Raises Conflict when it does already."""
    try:
        await tx.execute(ACCESS_ADD, flavor_id, project_id)
    except asyncpg.UniqueViolationError:
        raise Conflict(
            f"Flavor access already exists for flavor {flavor_id} and project {project_id} combination."
        ) from None
    tx.publish(FlavorChanged(flavor_id=flavor_id, change="updated"))


async def flavor_access_drop(tx: Tx, flavor_id: str, project_id: str) -> None:
    """Let a project see the flavor no more. Raises NotFound when it does not."""
    if await tx.fetchval(ACCESS_DROP, flavor_id, project_id) is None:
        raise NotFound(f"Flavor access not found for {flavor_id} / {project_id[:64]} combination.")
    tx.publish(FlavorChanged(flavor_id=flavor_id, change="updated"))

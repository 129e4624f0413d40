"""Volumes as rows: inserting, finding, listing, moving. The one place that writes `status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skybus import clock
from skybus.errors import BadRequest, NotFound
from skybus.http.paging import Page, Where
from skybus.ids import is_uuid
from skybus.messages.volume import VolumeCreated, VolumeDeleted, VolumeFailed, VolumeMoved, VolumeUpdated
from skybus.saga.operations import operation_start
from skybus.volume.states import DELETABLE, Cause, after

COLUMNS = """v.id, v.project_id, v.user_id, v.name, v.description, v.size_gib, v.status, v.type_id, v.availability_zone,
             v.host, v.bootable, v.metadata, v.created_at, v.updated_at, v.deleted_at, t.name AS type_name"""
TABLES = "volume.volume v JOIN volume.type t ON t.id = v.type_id"
ATTACHED = """a.id AS attachment_id, a.server_id, a.device, a.state AS attachment_state, a.attached_at"""
SHOWN = f"""
SELECT {COLUMNS}, {ATTACHED} FROM {TABLES} LEFT JOIN volume.attachment a ON a.volume_id = v.id
"""

INSERT = """
INSERT INTO volume.volume (id, project_id, user_id, name, description, size_gib, status, type_id, availability_zone,
                           metadata, created_at)
VALUES ($1, $2, $3, $4, $5, $6, 'creating', $7, $8, $9, $10)
"""
GET = f"SELECT {COLUMNS} FROM {TABLES} WHERE v.id = $1"
LOCK = f"{GET} FOR UPDATE OF v"
SEEN = f"{SHOWN} WHERE v.id = $1 AND v.deleted_at IS NULL AND ($2::text IS NULL OR v.project_id = $2)"
MOVE = """
UPDATE volume.volume
   SET status = $2::text, updated_at = $3::timestamptz, deleted_at = CASE WHEN $2 = 'deleted' THEN $3::timestamptz END
 WHERE id = $1
"""
PLACE = "UPDATE volume.volume SET host = $2, updated_at = $3 WHERE id = $1"
HOSTLESS = """
SELECT asked.id FROM unnest($1::uuid[]) AS asked (id) LEFT JOIN volume.volume v ON v.id = asked.id
 WHERE v.id IS NULL OR v.deleted_at IS NOT NULL OR v.host IS NULL
"""
UPDATE = """
UPDATE volume.volume SET name = $2, description = $3, metadata = $4, bootable = $5, updated_at = $6 WHERE id = $1
"""
CHANGEABLE = ("name", "description", "metadata", "bootable")

SORT_KEYS: Mapping[str, str] = {
    "id": "v.id",
    "name": "COALESCE(v.name, '')",
    "display_name": "COALESCE(v.name, '')",
    "status": "v.status",
    "size": "v.size_gib",
    "availability_zone": "v.availability_zone",
    "bootable": "v.bootable",
    "created_at": "v.created_at",
    "updated_at": "COALESCE(v.updated_at, v.created_at)",
}


def not_found(volume_id: str) -> NotFound:
    """The 404 of a volume that is not there or not the caller's to see."""
    return NotFound(f"Volume {volume_id[:64]} could not be found.")


async def volume_insert(tx: Any, volume: Mapping[str, Any]) -> None:
    """Add a volume in status `creating`."""
    await tx.execute(
        INSERT,
        volume["id"],
        volume["project_id"],
        volume["user_id"],
        volume["name"],
        volume["description"],
        volume["size_gib"],
        volume["type_id"],
        volume["availability_zone"],
        volume["metadata"],
        clock.now(),
    )


async def volume_get(store: Any, volume_id: str, *, lock: bool = False) -> Any:
    """The volume's row, whoever owns it and also when it was deleted; with `lock`, nobody changes it before the
    transaction ends. Raises NotFound."""
    row = await store.fetchrow(LOCK if lock else GET, volume_id) if is_uuid(volume_id) else None
    if row is None:
        raise not_found(volume_id)
    return row


async def volume_seen(store: Any, volume_id: str, *, project_id: str | None) -> Any:
    """The row, its attachment with it, of a volume that is not deleted and belongs to `project_id`; None is any
    project. Raises NotFound."""
    row = await store.fetchrow(SEEN, volume_id, project_id) if is_uuid(volume_id) else None
    if row is None:
        raise not_found(volume_id)
    return row


async def volume_list(store: Any, where: Where, page: Page) -> Sequence[Any]:
    """The rows of one page with their attachments, and one more when another page follows. Raises NotFound for an
    unknown marker."""
    order = page.order(SORT_KEYS, "v.id")
    if page.marker is not None:
        page.after(where, order, await _marker(store, page.marker, [column for column, _ in order]))
    rows: Sequence[Any] = await store.fetch(f"{SHOWN} {where.sql} {page.tail(order, 1)}", *where.args)
    return rows


async def _marker(store: Any, volume_id: str, columns: Sequence[str]) -> Sequence[Any]:
    sql = f"SELECT {', '.join(columns)} FROM volume.volume v WHERE v.id = $1"
    row = await store.fetchrow(sql, volume_id) if is_uuid(volume_id) else None
    if row is None:
        raise not_found(volume_id)
    values: Sequence[Any] = row
    return values


async def volume_count(store: Any, where: Where) -> int:
    """How many volumes fulfil the conditions."""
    return int(await store.fetchval(f"SELECT count(*) FROM {TABLES} {where.sql}", *where.args))


async def volume_summary(store: Any, where: Where) -> dict[str, Any]:
    """total_count, total_size (GiB) and metadata: every key with all of its values, of at most 1,000 volumes."""
    row = await store.fetchrow(
        f"SELECT count(*) AS total_count, COALESCE(sum(v.size_gib), 0)::bigint AS total_size FROM {TABLES} {where.sql}",
        *where.args,
    )
    metadata: dict[str, list[str]] = {}
    for one in await store.fetch(f"SELECT v.metadata FROM {TABLES} {where.sql} LIMIT 1000", *where.args):
        for key, value in one["metadata"].items():
            if value not in metadata.setdefault(key, []):
                metadata[key].append(value)
    return {**row, "metadata": metadata}


async def volume_move(tx: Any, volume_id: str, cause: Cause) -> Any:
    """Apply `cause`, announce the move, and answer the row as it was before.

    The only function that writes `status`. Raises NotFound, and Conflict when no way leads from where the volume is.
    """
    row = await volume_get(tx, volume_id, lock=True)
    new = after(row["status"], cause)
    await tx.execute(MOVE, volume_id, new, clock.now())
    tx.publish(VolumeMoved(volume_id=volume_id, old=row["status"], new=new, cause=cause), project_id=row["project_id"])
    return row


async def volume_placed(tx: Any, volume_id: str, host: str | None) -> None:
    """Note the storage host that holds the claim; None when the claim was given back."""
    await tx.execute(PLACE, volume_id, host, clock.now())


async def volume_made(tx: Any, volume_id: str) -> None:
    """The storage exists: the volume is available, and metered from now on."""
    row = await volume_move(tx, volume_id, Cause.MADE)
    event = VolumeCreated(
        volume_id=volume_id,
        name=row["name"] or "",
        host=row["host"],
        size_gib=row["size_gib"],
        volume_type=row["type_name"],
        created_at=row["created_at"],
    )
    tx.publish(event, project_id=row["project_id"])


async def volume_fail(tx: Any, volume_id: str, code: str, reason: str) -> None:
    """The creation was given up and undone."""
    row = await volume_move(tx, volume_id, Cause.MAKE_FAILED)
    tx.publish(VolumeFailed(volume_id=volume_id, code=code, reason=reason), project_id=row["project_id"])


async def volume_gone(tx: Any, volume_id: str) -> None:
    """Nothing of the volume is left on any host; metering ends."""
    row = await volume_move(tx, volume_id, Cause.DELETED)
    await tx.execute(PLACE, volume_id, None, clock.now())
    tx.publish(VolumeDeleted(volume_id=volume_id, deleted_at=clock.now()), project_id=row["project_id"])


async def volumes_hostless(store: Any, volume_ids: Sequence[str]) -> list[str]:
    """Those of the ids whose volumes are on no host: gone, given up, or never there."""
    return [row["id"] for row in await store.fetch(HOSTLESS, list(volume_ids))]


async def volume_change(tx: Any, row: Any, **columns: Any) -> None:
    """Write those of `CHANGEABLE` in the locked `row` that are given, and announce what differs."""
    new = {name: columns.get(name, row[name]) for name in CHANGEABLE}
    changed = sorted(name for name in new if new[name] != row[name])
    if changed:
        await tx.execute(UPDATE, row["id"], *new.values(), clock.now())
        tx.publish(VolumeUpdated(volume_id=row["id"], changed=changed), project_id=row["project_id"])


async def volume_delete_start(tx: Any, volume_id: str) -> None:
    """Begin the operation that removes a volume at rest, unwinding what may still be running on it.

    Raises Conflict when the volume is not at rest.
    """
    await volume_move(tx, volume_id, Cause.DELETE_ASKED)
    await operation_start(tx, "volume_delete", resource_type="volume", resource_id=volume_id, interrupts=True)


def check_deletable(row: Any, attached: bool) -> None:
    """Raises BadRequest, in Cinder's words, for a volume that may not be deleted now."""
    if row["status"] not in DELETABLE or attached:
        raise BadRequest(
            "Invalid volume: Volume status must be available or error or error_deleting and must not be attached to a "
            f"server; it is {row['status']}."
        )

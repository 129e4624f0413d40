"""Attachments: which server has which volume, from the moment it is promised to the moment it is let go."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from skybus import clock
from skybus.errors import BadRequest, CommandRefused, Conflict, NotFound
from skybus.http.paging import Page, Where
from skybus.ids import is_uuid, new_id
from skybus.messages.compute import GuestVolume
from skybus.messages.volume import ExportVolume, IscsiTarget, UnexportVolume, VolumeAttached, VolumeDetached
from skybus.saga.operations import operation_start
from skybus.volume.states import Cause
from skybus.volume.volumes import volume_delete_start, volume_get, volume_move, volume_seen

COLUMNS = """a.id, a.volume_id, a.project_id, a.server_id, a.device, a.state, a.delete_on_termination, a.tag, a.portal,
             a.iqn, a.lun, a.created_at, a.attached_at"""
INSERT = """
INSERT INTO volume.attachment (id, volume_id, project_id, server_id, device, state, delete_on_termination, tag,
                               created_at)
VALUES ($1, $2, $3, $4, $5, 'attaching', $6, $7, $8)
"""
CREDENTIALS = "INSERT INTO volume.chap (attachment_id, chap_user, chap_password) VALUES ($1, $2, $3)"
GET = f"SELECT {COLUMNS} FROM volume.attachment a WHERE a.id = $1"
EXISTS = "SELECT EXISTS (SELECT FROM volume.attachment WHERE id = $1)"
OF_SERVERS = f"""
SELECT {COLUMNS} FROM volume.attachment a WHERE a.server_id = ANY ($1::uuid[]) ORDER BY a.device, a.id
"""
OF_PAIR = f"SELECT {COLUMNS} FROM volume.attachment a WHERE a.server_id = $1 AND a.volume_id = $2"
WITH_TARGET = f"""
SELECT {COLUMNS}, c.chap_user, c.chap_password, v.host
  FROM volume.attachment a JOIN volume.chap c ON c.attachment_id = a.id JOIN volume.volume v ON v.id = a.volume_id
 WHERE a.id = $1
"""
READY_OF_SERVER = """
SELECT a.id, a.volume_id, a.device, a.portal, a.iqn, a.lun, c.chap_user, c.chap_password
  FROM volume.attachment a JOIN volume.chap c ON c.attachment_id = a.id
 WHERE a.server_id = $1 AND a.state = 'attached' AND a.iqn IS NOT NULL
 ORDER BY a.device, a.id
"""
EXPORTED_BY = """
SELECT a.id, a.volume_id, a.server_id, a.attached_at
  FROM volume.attachment a JOIN volume.volume v ON v.id = a.volume_id
 WHERE v.host = $1 AND a.state = 'attached' AND a.iqn IS NOT NULL ORDER BY a.id
"""
EXPORTED = "UPDATE volume.attachment SET portal = $2, iqn = $3, lun = $4 WHERE id = $1"
STATE = "UPDATE volume.attachment SET state = $2 WHERE id = $1"
FINISH = "UPDATE volume.attachment SET state = 'attached', device = $2, attached_at = $3 WHERE id = $1"
REMOVE = "DELETE FROM volume.attachment WHERE id = $1"

SORT_KEYS = {"id": "a.id", "created_at": "a.created_at", "status": "a.state"}

DEVICES = tuple(f"/dev/vd{letter}" for letter in string.ascii_lowercase[1:])
"""`/dev/vda` is the root disk."""
PASSWORD_BYTES = 12
"""16 characters when spelled: what iSCSI initiators agree on is 12 to 16."""


def not_found(attachment_id: str) -> NotFound:
    """The 404 of an attachment that is not there or not the caller's to see."""
    return NotFound(f"Volume attachment could not be found with filter: attachment_id = {attachment_id[:64]}.")


# --- what compute's API asks


async def attachment_reserve(
    tx: Any,
    volume_id: str,
    server_id: str,
    *,
    project_id: str,
    device: str | None = None,
    delete_on_termination: bool = False,
    tag: str | None = None,
) -> Any:
    """Promise an available volume of `project_id` to a server: the volume is `attaching`, nobody else gets it.

    Answers the attachment's row. Without `device` the first free name is taken. Raises NotFound for a volume that
    the project does not have, BadRequest when it is not available, Conflict when the server's device is taken.
    """
    await volume_seen(tx, volume_id, project_id=project_id)
    # The server's attachments are counted under its lock: two volumes do not take one device name.
    await tx.lock("volume", "server", server_id)
    row = await volume_get(tx, volume_id, lock=True)
    if row["status"] != "available":
        raise BadRequest(
            f"Invalid volume: Volume {volume_id} status must be available to reserve, but the current status is "
            f"{row['status']}."
        )
    taken = {one["device"] for one in await attachments_of_server(tx, server_id)}
    attachment_id = new_id()
    name = device or next((one for one in DEVICES if one not in taken), None)
    if name is None or len(taken) >= len(DEVICES):
        raise Conflict(f"Server {server_id} has no room for another volume: {len(DEVICES)} are attached.")
    try:
        await tx.execute(
            INSERT, attachment_id, volume_id, project_id, server_id, name, delete_on_termination, tag, clock.now()
        )
    except asyncpg.UniqueViolationError:
        raise Conflict(f"The supplied device path ({name[:64]}) is in use.") from None
    await tx.execute(CREDENTIALS, attachment_id, attachment_id, secrets.token_urlsafe(PASSWORD_BYTES))
    await volume_move(tx, volume_id, Cause.ATTACH_ASKED)
    return await attachment_get(tx, attachment_id)


async def attachment_start(tx: Any, volume_id: str, server_id: str, **how: Any) -> Any:
    """Reserve (see `attachment_reserve`) and begin the operation that makes it real; answers the attachment's row."""
    row = await attachment_reserve(tx, volume_id, server_id, **how)
    memo = {"attachment_id": row["id"], "server_id": server_id}
    await operation_start(tx, "volume_attach", resource_type="volume", resource_id=volume_id, memo=memo)
    return row


async def attachment_begin_detach(tx: Any, server_id: str, volume_id: str) -> Any:
    """Begin the operation that takes a volume from a server; answers the attachment's row.

    Raises NotFound when the server does not have the volume, BadRequest when it is not in use, Conflict when another
    operation works on it.
    """
    row = await attachment_of(tx, server_id, volume_id)
    # The operation's row before the volume's, as the conductor locks them: two locks in one order cannot deadlock.
    memo = {"attachment_id": row["id"], "server_id": server_id}
    await operation_start(tx, "volume_detach", resource_type="volume", resource_id=volume_id, memo=memo)
    volume = await volume_get(tx, volume_id, lock=True)
    if volume["status"] != "in-use":
        raise BadRequest(
            f"Invalid volume: Unable to detach volume. Volume status must be 'in-use' and attach_status must be "
            f"'attached' to detach; its status is {volume['status']}."
        )
    await volume_move(tx, volume_id, Cause.DETACH_ASKED)
    await tx.execute(STATE, row["id"], "detaching")
    return row


async def attachment_get(store: Any, attachment_id: str) -> Any:
    """The attachment's row, without its password. Raises NotFound."""
    row = await store.fetchrow(GET, attachment_id) if is_uuid(attachment_id) else None
    if row is None:
        raise not_found(attachment_id)
    return row


async def attachment_exists(store: Any, attachment_id: str) -> bool:
    """Whether there is such an attachment."""
    return is_uuid(attachment_id) and bool(await store.fetchval(EXISTS, attachment_id))


async def attachment_of(store: Any, server_id: str, volume_id: str) -> Any:
    """The attachment of that volume to that server. Raises NotFound."""
    known = is_uuid(server_id) and is_uuid(volume_id)
    row = await store.fetchrow(OF_PAIR, server_id, volume_id) if known else None
    if row is None:
        raise NotFound(f"Volume {volume_id[:64]} is not attached to server {server_id[:64]}.")
    return row


async def attachments_of_server(store: Any, server_id: str) -> Sequence[Any]:
    """The rows of one server's attachments, by device."""
    rows: Sequence[Any] = await store.fetch(OF_SERVERS, [server_id])
    return rows


async def attachments_of_servers(store: Any, server_ids: Sequence[str]) -> Mapping[str, list[Any]]:
    """The rows of many servers' attachments, by server id; a server without any is not in the answer."""
    found: dict[str, list[Any]] = {}
    for row in await store.fetch(OF_SERVERS, list(server_ids)):
        found.setdefault(row["server_id"], []).append(row)
    return found


async def attachment_list(store: Any, where: Where, page: Page) -> Sequence[Any]:
    """The rows of one page, and one more when another page follows. Raises NotFound for an unknown marker."""
    order = page.order(SORT_KEYS, "a.id")
    if page.marker is not None:
        marker = await attachment_get(store, page.marker)
        page.after(where, order, [marker[column.partition(".")[2]] for column, _ in order])
    sql = f"SELECT {COLUMNS} FROM volume.attachment a {where.sql} {page.tail(order, 1)}"
    rows: Sequence[Any] = await store.fetch(sql, *where.args)
    return rows


async def guest_volumes(store: Any, server_id: str) -> list[GuestVolume]:
    """What a host needs to give a server the volumes that are attached to it. Holds passwords: not for showing."""
    return [
        GuestVolume(attachment_id=row["id"], volume_id=row["volume_id"], device=row["device"], target=_target(row))
        for row in await store.fetch(READY_OF_SERVER, server_id)
    ]


# --- what the operations ask; `to` is a worker's address


async def export_order(tx: Any, attachment_id: str, initiator_address: str) -> tuple[str, ExportVolume]:
    """(to, the order to export the volume to one address). Raises CommandRefused when the attachment is gone."""
    row = await _with_target(tx, attachment_id)
    order = ExportVolume(
        volume_id=row["volume_id"],
        attachment_id=attachment_id,
        chap_user=row["chap_user"],
        chap_password=row["chap_password"],
        initiator_address=initiator_address,
    )
    return f"volume.{row['host']}", order


async def unexport_order(tx: Any, attachment_id: str) -> tuple[str, UnexportVolume]:
    """(to, the order to end the export). Raises CommandRefused when the attachment is gone."""
    row = await _with_target(tx, attachment_id)
    return f"volume.{row['host']}", UnexportVolume(volume_id=row["volume_id"], attachment_id=attachment_id)


async def exports_expected_on(store: Any, host: str) -> Sequence[Any]:
    """The attachments (id, volume_id, server_id, attached_at) that a storage host's report should list."""
    rows: Sequence[Any] = await store.fetch(EXPORTED_BY, host)
    return rows


async def attachment_exported(tx: Any, attachment_id: str, target: IscsiTarget) -> None:
    """Note where the volume is exported."""
    await tx.execute(EXPORTED, attachment_id, target.portal, target.iqn, target.lun)


async def guest_volume(tx: Any, attachment_id: str) -> GuestVolume:
    """The exported volume as a guest gets it. Raises CommandRefused when the attachment is gone or not exported."""
    row = await _with_target(tx, attachment_id)
    if row["iqn"] is None:
        raise CommandRefused(f"Volume {row['volume_id']} is not exported.", code="volume.not-exported")
    return GuestVolume(
        attachment_id=attachment_id, volume_id=row["volume_id"], device=row["device"], target=_target(row)
    )


async def attachment_finish(tx: Any, attachment_id: str, device: str | None = None) -> None:
    """The server has the volume: `in-use`. Raises CommandRefused when the attachment is gone."""
    row = await _with_target(tx, attachment_id)
    device = device or row["device"]
    await tx.execute(FINISH, attachment_id, device, clock.now())
    await volume_move(tx, row["volume_id"], Cause.ATTACHED)
    event = VolumeAttached(
        volume_id=row["volume_id"], server_id=row["server_id"], attachment_id=attachment_id, device=device
    )
    tx.publish(event, project_id=row["project_id"])


async def attachment_give_up(tx: Any, attachment_id: str) -> None:
    """The server did not get the volume, which is available again. Content to find nothing."""
    row = await _held(tx, attachment_id)
    if row is not None:
        await tx.execute(REMOVE, attachment_id)
        await volume_move(tx, row["volume_id"], Cause.ATTACH_FAILED)


async def attachment_keep(tx: Any, attachment_id: str) -> None:
    """The server did not let go: `in-use` as before. Content to find nothing."""
    row = await _held(tx, attachment_id)
    if row is not None:
        await tx.execute(STATE, attachment_id, "attached")
        await volume_move(tx, row["volume_id"], Cause.DETACH_FAILED)


async def attachment_remove(tx: Any, attachment_id: str) -> None:
    """The server does not have the volume any more, which is available. Content to find nothing."""
    row = await _held(tx, attachment_id)
    if row is None:
        return
    await tx.execute(REMOVE, attachment_id)
    await volume_move(tx, row["volume_id"], Cause.DETACHED)
    event = VolumeDetached(volume_id=row["volume_id"], server_id=row["server_id"], attachment_id=attachment_id)
    tx.publish(event, project_id=row["project_id"])


async def attachment_end(tx: Any, attachment_id: str) -> None:
    """The server is gone: like `attachment_remove`, and a volume that was to go with its server is deleted."""
    row = await tx.fetchrow(GET, attachment_id)
    await attachment_remove(tx, attachment_id)
    if row is not None and row["delete_on_termination"]:
        await volume_delete_start(tx, row["volume_id"])


async def _held(tx: Any, attachment_id: str) -> Any | None:
    """The attachment's row, its volume locked, or None. A server's deletion and a detachment may both end it: the later
    one finds nothing, and the volume's row is locked first as everywhere."""
    row = await tx.fetchrow(GET, attachment_id)
    if row is None:
        return None
    await volume_get(tx, row["volume_id"], lock=True)
    return await tx.fetchrow(GET, attachment_id)


async def _with_target(tx: Any, attachment_id: str) -> Any:
    row = await tx.fetchrow(WITH_TARGET, attachment_id)
    if row is None:
        raise CommandRefused(f"The attachment {attachment_id} is gone.", code="volume.attachment-gone")
    return row


def _target(row: Any) -> IscsiTarget:
    return IscsiTarget(
        portal=row["portal"],
        iqn=row["iqn"],
        lun=row["lun"],
        chap_user=row["chap_user"],
        chap_password=row["chap_password"],
    )

"""Exports: an attached volume is reached by its server, nobody reaches one through an attachment that is gone, and no
volume is kept that was deleted or never came to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from skybus.errors import CommandRefused, NotFound
from skybus.ids import new_id
from skybus.messages.volume import PoolReport, RemoveVolume, UnexportVolume
from skybus.store import Tx
from skybus.volume.attachments import attachment_exists, export_order, exports_expected_on
from skybus.volume.volumes import volume_get
from skybus_conductor.reconcilers import busy
from skybus_conductor.sagas.guest_host import guest_host

log = structlog.get_logger()


async def reconcile(tx: Tx, report: PoolReport) -> None:
    """Compare the exports and volumes that a storage host has with those that it should have."""
    expected = await exports_expected_on(tx, report.host)
    ids = {*report.volumes, *(export.volume_id for export in report.exports), *(row["volume_id"] for row in expected)}
    if not ids:
        return
    working = await busy(tx, "volume", ids)
    await _missing(tx, report, [row for row in expected if row["volume_id"] not in working])
    for export in report.exports:
        if export.volume_id in working or await attachment_exists(tx, export.attachment_id):
            continue
        log.warning("export_of_nobody", volume=export.volume_id, host=report.host)
        order = UnexportVolume(volume_id=export.volume_id, attachment_id=export.attachment_id)
        tx.send(f"volume.{report.host}", order, command_id=new_id(), operation_id="")
    for volume_id in sorted(set(report.volumes) - working):
        await _kept(tx, report.host, volume_id)


async def _missing(tx: Tx, report: PoolReport, expected: Sequence[Any]) -> None:
    """Export again what attached servers should reach and the host no longer exports."""
    seen = {export.attachment_id for export in report.exports}
    lost = [row for row in expected if row["id"] not in seen and row["attached_at"] < report.taken_at]
    working = await busy(tx, "server", [row["server_id"] for row in lost])
    for row in lost:
        if row["server_id"] not in working and row["volume_id"] in report.volumes:
            await _export_again(tx, row)


async def _export_again(tx: Tx, row: Any) -> None:
    try:
        host = await guest_host(tx, row["server_id"])
        if host is None:
            return
        to, order = await export_order(tx, row["id"], host.address)
    except (NotFound, CommandRefused):
        return  # the attachment, or its server's host, went meanwhile
    log.warning("volume_exported_again", volume=row["volume_id"], worker=to)
    tx.send(to, order, command_id=new_id(), operation_id="")


async def _kept(tx: Tx, host: str, volume_id: str) -> None:
    try:
        volume = await volume_get(tx, volume_id)
    except NotFound:
        log.error("volume_unknown", volume=volume_id, host=host)
        return
    # One in error without a host never came to be: its creation was undone, and a late order made it after all.
    if volume["status"] == "deleted" or (volume["status"] == "error" and volume["host"] is None):
        log.warning("volume_of_nobody", volume=volume_id, host=host)
        tx.send(f"volume.{host}", RemoveVolume(volume_id=volume_id), command_id=new_id(), operation_id="")

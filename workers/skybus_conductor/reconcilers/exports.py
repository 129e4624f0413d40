"""Exports: nobody reaches a volume through an attachment that is gone, and no volume is kept that was deleted."""

from __future__ import annotations

import structlog

from skybus.errors import NotFound
from skybus.ids import new_id
from skybus.messages.volume import PoolReport, RemoveVolume, UnexportVolume
from skybus.store import Tx
from skybus.volume.attachments import attachment_exists
from skybus.volume.volumes import volume_get
from skybus_conductor.reconcilers import busy

log = structlog.get_logger()


async def reconcile(tx: Tx, report: PoolReport) -> None:
    """Compare the exports and volumes that a storage host has with those that it should have."""
    ids = {*report.volumes, *(export.volume_id for export in report.exports)}
    if not ids:
        return
    working = await busy(tx, "volume", ids)
    for export in report.exports:
        if export.volume_id in working or await attachment_exists(tx, export.attachment_id):
            continue
        log.warning("export_of_nobody", volume=export.volume_id, host=report.host)
        order = UnexportVolume(volume_id=export.volume_id, attachment_id=export.attachment_id)
        tx.send(f"volume.{report.host}", order, command_id=new_id(), operation_id="")
    for volume_id in set(report.volumes) - working:
        await _kept(tx, report.host, volume_id)


async def _kept(tx: Tx, host: str, volume_id: str) -> None:
    try:
        volume = await volume_get(tx, volume_id)
    except NotFound:
        log.error("volume_unknown", volume=volume_id, host=host)
        return
    if volume["status"] == "deleted":
        log.warning("volume_of_nobody", volume=volume_id, host=host)
        tx.send(f"volume.{host}", RemoveVolume(volume_id=volume_id), command_id=new_id(), operation_id="")

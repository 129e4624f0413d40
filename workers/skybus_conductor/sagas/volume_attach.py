"""Attach a volume to a server: export it to the server's host, give it to the guest as a disk.

Compute's API has reserved the attachment in the transaction that accepted the request. Who is on the way back is kept
in the memo: the server may be deleted meanwhile, and its attachments with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skybus.bus.message import Answer
from skybus.messages.compute import PlugVolume, UnplugVolume, VolumePlugged
from skybus.messages.volume import UnexportVolume, VolumeExported
from skybus.saga.operations import Operation
from skybus.saga.saga import Order, Saga, Step
from skybus.store import Tx
from skybus.volume.attachments import (
    attachment_exported,
    attachment_finish,
    attachment_give_up,
    export_order,
    guest_volume,
)
from skybus_conductor.cloud import Cloud
from skybus_conductor.sagas.guest_host import guest_host


async def export(tx: Tx, op: Operation) -> Sequence[Order]:
    """Export the volume to the one address that may have it. A server without a host gets it when it has one."""
    host = await guest_host(tx, op.memo["server_id"])
    if host is None:
        return []
    to, command = await export_order(tx, op.memo["attachment_id"], host.address)
    op.memo |= {"exported_by": to, "plugged_by": f"compute.{host.name}"}
    return [Order(to=to, command=command)]


async def exported(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """Note where it can be reached."""
    for answer in answers.values():
        assert isinstance(answer, VolumeExported)
        await attachment_exported(tx, op.memo["attachment_id"], answer.target)


async def unexport(tx: Tx, op: Operation) -> Sequence[Order]:
    """End the export, however far it came."""
    if "exported_by" not in op.memo:
        return []
    command = UnexportVolume(volume_id=op.resource_id, attachment_id=op.memo["attachment_id"])
    return [Order(to=op.memo["exported_by"], command=command)]


async def plug(tx: Tx, op: Operation) -> Sequence[Order]:
    """Give it to the guest."""
    if "plugged_by" not in op.memo:
        return []
    volume = await guest_volume(tx, op.memo["attachment_id"])
    return [Order(to=op.memo["plugged_by"], command=PlugVolume(server_id=op.memo["server_id"], volume=volume))]


async def plugged(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """The server has it."""
    device = None
    for answer in answers.values():
        assert isinstance(answer, VolumePlugged)
        device = answer.device
    await attachment_finish(tx, op.memo["attachment_id"], device)


async def unplug(tx: Tx, op: Operation) -> Sequence[Order]:
    """Take it from the guest, however far it came."""
    if "plugged_by" not in op.memo:
        return []
    command = UnplugVolume(
        server_id=op.memo["server_id"], attachment_id=op.memo["attachment_id"], volume_id=op.resource_id
    )
    return [Order(to=op.memo["plugged_by"], command=command)]


async def unwound(tx: Tx, op: Operation) -> None:
    """Nobody has it: the volume is available again."""
    await attachment_give_up(tx, op.memo["attachment_id"])


def saga(cloud: Cloud) -> Saga:
    """The steps, each with its way back."""
    return Saga(
        kind="volume_attach",
        steps=(
            Step(name="export", do=export, apply=exported, undo=unexport),
            Step(name="plug", do=plug, apply=plugged, undo=unplug, seconds=60),
        ),
        unwound=unwound,
    )

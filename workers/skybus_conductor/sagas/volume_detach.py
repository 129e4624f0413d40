"""Detach a volume from a server: the guest lets go of it first, then nobody can reach it any more.

The way back gives it to the guest again: a volume is either wholly with a server or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skybus.bus.message import Answer
from skybus.messages.compute import PlugVolume, UnplugVolume
from skybus.messages.volume import VolumeExported
from skybus.saga.operations import Operation
from skybus.saga.saga import Order, Saga, Step
from skybus.store import Tx
from skybus.volume.attachments import (
    attachment_exists,
    attachment_exported,
    attachment_keep,
    attachment_remove,
    export_order,
    guest_volume,
    unexport_order,
)
from skybus_conductor.cloud import Cloud
from skybus_conductor.sagas.guest_host import guest_host

ATTEMPTS = 5


async def unplug(tx: Tx, op: Operation) -> Sequence[Order]:
    """Take it from the guest. Nothing to do where no host has the guest."""
    host = await guest_host(tx, op.memo["server_id"])
    if host is None:
        return []
    op.memo |= {"plugged_by": f"compute.{host.name}", "address": host.address}
    command = UnplugVolume(
        server_id=op.memo["server_id"], attachment_id=op.memo["attachment_id"], volume_id=op.resource_id
    )
    return [Order(to=op.memo["plugged_by"], command=command)]


async def plug(tx: Tx, op: Operation) -> Sequence[Order]:
    """Give it back to the guest, unless server or guest went away meanwhile."""
    gone = not await attachment_exists(tx, op.memo["attachment_id"])
    if gone or await guest_host(tx, op.memo["server_id"]) is None or "plugged_by" not in op.memo:
        return []
    volume = await guest_volume(tx, op.memo["attachment_id"])
    command = PlugVolume(server_id=op.memo["server_id"], volume=volume, if_there=True)
    return [Order(to=op.memo["plugged_by"], command=command)]


async def unexport(tx: Tx, op: Operation) -> Sequence[Order]:
    """End the export. Nothing to do where the server was deleted meanwhile, which ended it."""
    if not await attachment_exists(tx, op.memo["attachment_id"]):
        return []
    to, command = await unexport_order(tx, op.memo["attachment_id"])
    return [Order(to=to, command=command)]


async def unexported(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """The volume is available."""
    await attachment_remove(tx, op.memo["attachment_id"])


async def export(tx: Tx, op: Operation) -> Sequence[Order]:
    """Export it again, as it was, so that the guest can have it back."""
    gone = not await attachment_exists(tx, op.memo["attachment_id"])
    if gone or "address" not in op.memo:
        return []
    to, command = await export_order(tx, op.memo["attachment_id"], op.memo["address"])
    return [Order(to=to, command=command)]


async def exported(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """Note where it can be reached now."""
    for answer in answers.values():
        assert isinstance(answer, VolumeExported)
        await attachment_exported(tx, op.memo["attachment_id"], answer.target)


async def unwound(tx: Tx, op: Operation) -> None:
    """The server has it as before."""
    await attachment_keep(tx, op.memo["attachment_id"])


def saga(cloud: Cloud) -> Saga:
    """The steps, each with its way back."""
    return Saga(
        kind="volume_detach",
        steps=(
            Step(name="unplug", do=unplug, undo=plug, seconds=90, attempts=ATTEMPTS),
            Step(name="unexport", do=unexport, apply=unexported, undo=export, undone=exported, attempts=ATTEMPTS),
        ),
        unwound=unwound,
    )

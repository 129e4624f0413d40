"""Create a volume: a storage host with room, and the storage on it.

The gateway has made the volume's row in the transaction that accepted the request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skybus.bus.message import Answer
from skybus.messages.placement import Place, Placed
from skybus.messages.volume import MakeVolume, RemoveVolume
from skybus.placement.claims import claim_release
from skybus.saga.operations import Operation
from skybus.saga.saga import Order, Saga, Step
from skybus.store import Tx
from skybus.volume.volumes import volume_fail, volume_get, volume_made, volume_placed
from skybus_conductor.cloud import Cloud


async def place(tx: Tx, op: Operation) -> Sequence[Order]:
    """Ask for a storage host, and for the claim on it."""
    volume = await volume_get(tx, op.resource_id)
    command = Place(
        consumer_id=op.resource_id,
        project_id=volume["project_id"],
        kind="volume",
        resources={"DISK_GB": volume["size_gib"]},
        availability_zone=volume["availability_zone"],
    )
    return [Order(to="scheduler", command=command)]


async def placed(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """Note the host."""
    answer = answers[""]
    assert isinstance(answer, Placed)
    op.memo["host"] = answer.host
    await volume_placed(tx, op.resource_id, answer.host)


async def unplaced(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """Give the room back. Fine when there is none."""
    await claim_release(tx, op.resource_id)
    await volume_placed(tx, op.resource_id, None)


async def make(tx: Tx, op: Operation) -> Sequence[Order]:
    """Allocate the storage."""
    volume = await volume_get(tx, op.resource_id)
    command = MakeVolume(volume_id=op.resource_id, size_gib=volume["size_gib"])
    return [Order(to=f"volume.{op.memo['host']}", command=command)]


async def made(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """The volume is available."""
    await volume_made(tx, op.resource_id)


async def unmake(tx: Tx, op: Operation) -> Sequence[Order]:
    """Remove the storage, however far it came."""
    return [Order(to=f"volume.{op.memo['host']}", command=RemoveVolume(volume_id=op.resource_id))]


async def unwound(tx: Tx, op: Operation) -> None:
    """Nothing is left on any host: `error`, and the event says why."""
    error = op.error or {}
    await volume_fail(tx, op.resource_id, error.get("code", "internal"), error.get("reason", ""))


def saga(cloud: Cloud) -> Saga:
    """The steps, each with its way back."""
    return Saga(
        kind="volume_create",
        steps=(
            Step(name="place", do=place, apply=placed, undone=unplaced),
            Step(name="make", do=make, apply=made, undo=unmake, seconds=120),
        ),
        unwound=unwound,
    )

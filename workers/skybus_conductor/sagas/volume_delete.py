"""Delete a volume: its storage first, then its claim and its row.

There is no way back: storage that cannot be removed leaves the volume in `error_deleting`, and deleting again goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skybus.bus.message import Answer
from skybus.messages.volume import RemoveVolume
from skybus.placement.claims import claim_release
from skybus.saga.operations import Operation
from skybus.saga.saga import Order, Saga, Step
from skybus.store import Tx
from skybus.volume.states import Cause
from skybus.volume.volumes import volume_get, volume_gone, volume_move
from skybus_conductor.cloud import Cloud

ATTEMPTS = 20


async def remove(tx: Tx, op: Operation) -> Sequence[Order]:
    """Remove the storage and its exports. Nothing to do where the volume never had a host."""
    volume = await volume_get(tx, op.resource_id)
    if volume["host"] is None:
        return []
    return [Order(to=f"volume.{volume['host']}", command=RemoveVolume(volume_id=op.resource_id))]


async def forgotten(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """Give the room back; the volume is gone."""
    await claim_release(tx, op.resource_id)
    await volume_gone(tx, op.resource_id)


async def unwound(tx: Tx, op: Operation) -> None:
    """The storage may still be there."""
    await volume_move(tx, op.resource_id, Cause.DELETE_FAILED)


def saga(cloud: Cloud) -> Saga:
    """The steps."""
    return Saga(
        kind="volume_delete",
        steps=(
            Step(name="remove", do=remove, attempts=ATTEMPTS, seconds=120),
            Step(name="forget", apply=forgotten),
        ),
        unwound=unwound,
    )

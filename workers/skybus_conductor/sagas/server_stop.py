"""Stop a server: the guest is asked to shut down, and after its grace made to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skybus.bus.message import Answer
from skybus.compute.server_life import server_stopped
from skybus.messages.compute import StopGuest
from skybus.saga.operations import Operation
from skybus.saga.saga import Order, Saga, Step
from skybus.store import Tx
from skybus_conductor.cloud import Cloud
from skybus_conductor.sagas.power import GRACE_SECONDS, SECONDS, address_of, gave_up, power_of


async def power_off(tx: Tx, op: Operation) -> Sequence[Order]:
    """Shut the guest down. Content to find it off."""
    command = StopGuest(server_id=op.resource_id, grace_seconds=GRACE_SECONDS)
    return [Order(to=await address_of(tx, op), command=command)]


async def powered_off(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """SHUTOFF."""
    await server_stopped(tx, op.resource_id, power_of(answers).power_state)


def saga(cloud: Cloud) -> Saga:
    """One step."""
    return Saga(
        kind="server_stop",
        steps=(Step(name="power_off", do=power_off, apply=powered_off, seconds=SECONDS),),
        unwound=gave_up,
    )

"""Start a server that is shut off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skybus.bus.message import Answer
from skybus.compute.server_life import server_started
from skybus.messages.compute import StartGuest
from skybus.saga.operations import Operation
from skybus.saga.saga import Order, Saga, Step
from skybus.store import Tx
from skybus_conductor.cloud import Cloud
from skybus_conductor.sagas.power import SECONDS, address_of, gave_up, power_of


async def power_on(tx: Tx, op: Operation) -> Sequence[Order]:
    """Power on the guest. Content to find it running."""
    return [Order(to=await address_of(tx, op), command=StartGuest(server_id=op.resource_id))]


async def powered_on(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """ACTIVE."""
    answer = power_of(answers)
    await server_started(tx, op.resource_id, answer.power_state, answer.vnc_port)


def saga(cloud: Cloud) -> Saga:
    """One step; a guest that will not start is left as it was."""
    return Saga(
        kind="server_start",
        steps=(Step(name="power_on", do=power_on, apply=powered_on, seconds=SECONDS),),
        unwound=gave_up,
    )

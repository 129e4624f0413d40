"""Reboot a server: soft asks the guest, hard resets it. The operation's id keeps a repeated order from doing it twice.

Memo: `hard`, whether to reset at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skybus.bus.message import Answer
from skybus.compute.server_life import server_rebooted
from skybus.messages.compute import RebootGuest
from skybus.saga.operations import Operation
from skybus.saga.saga import Order, Saga, Step
from skybus.store import Tx
from skybus_conductor.cloud import Cloud
from skybus_conductor.sagas.power import GRACE_SECONDS, SECONDS, address_of, gave_up, power_of


async def reboot(tx: Tx, op: Operation) -> Sequence[Order]:
    """Restart the guest, once."""
    command = RebootGuest(
        server_id=op.resource_id, reboot_id=op.id, hard=bool(op.memo.get("hard")), grace_seconds=GRACE_SECONDS
    )
    return [Order(to=await address_of(tx, op), command=command)]


async def rebooted(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """ACTIVE."""
    answer = power_of(answers)
    await server_rebooted(tx, op.resource_id, answer.power_state, answer.vnc_port)


def saga(cloud: Cloud) -> Saga:
    """One step."""
    return Saga(
        kind="server_reboot",
        steps=(Step(name="reboot", do=reboot, apply=rebooted, seconds=SECONDS),),
        unwound=gave_up,
    )

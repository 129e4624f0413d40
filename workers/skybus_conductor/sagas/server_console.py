"""Read the end of a server's console. Changes nothing, so any number of these run beside anything.

Memo: `lines` in, `text` out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skybus.bus.message import Answer
from skybus.messages.compute import ConsoleText, ReadConsole
from skybus.saga.operations import Operation
from skybus.saga.saga import Order, Saga, Step
from skybus.store import Tx
from skybus_conductor.cloud import Cloud
from skybus_conductor.sagas.power import address_of


async def read(tx: Tx, op: Operation) -> Sequence[Order]:
    """Ask the host."""
    return [
        Order(to=await address_of(tx, op), command=ReadConsole(server_id=op.resource_id, lines=op.memo.get("lines")))
    ]


async def got(tx: Tx, op: Operation, answers: Mapping[str, Answer]) -> None:
    """Leave the text where the gateway, which waits, finds it."""
    answer = answers[""]
    assert isinstance(answer, ConsoleText)
    op.memo["text"] = answer.text.replace("\0", "")


def saga(cloud: Cloud) -> Saga:
    """One step."""
    return Saga(kind="server_console", steps=(Step(name="read", do=read, apply=got, seconds=8, attempts=2),))

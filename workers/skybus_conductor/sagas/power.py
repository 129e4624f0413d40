"""What starting, stopping and rebooting have in common: one order to the server's host, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skybus.bus.message import Answer
from skybus.compute.server_life import server_gave_up
from skybus.compute.servers import server_get
from skybus.errors import Conflict
from skybus.messages.compute import GuestPower
from skybus.saga.operations import Operation
from skybus.saga.turns import INTERRUPTED
from skybus.store import Tx

GRACE_SECONDS = 60.0
"""How long a guest may take to shut down before the plug is pulled."""
SECONDS = GRACE_SECONDS + 60
"""Deadline of an order that waits for a guest."""


async def address_of(tx: Tx, op: Operation) -> str:
    """The address of the server's compute agent. Raises Conflict when the server is on no host."""
    server: Any = await server_get(tx, op.resource_id)
    if server["host"] is None:
        raise Conflict(f"Server {op.resource_id} is on no host.")
    return f"compute.{server['host']}"


def power_of(answers: Mapping[str, Answer]) -> GuestPower:
    """The answer to the one order."""
    answer = answers[""]
    assert isinstance(answer, GuestPower)
    return answer


async def gave_up(tx: Tx, op: Operation) -> None:
    """The server is idle again, as it was; its reconciler looks what the guest really does."""
    if (op.error or {}).get("code") != INTERRUPTED:
        await server_gave_up(tx, op.resource_id)

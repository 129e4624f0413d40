"""What a check is, and what it finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from skybus.store import Tx


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One disagreement. It has a repair, or advice for what we do not touch."""

    what: str
    """The thing it is about: `server 0190...`."""
    says: str
    """What disagrees with what."""
    repair: tuple[str, ...] = ()
    """The name of what mends it, as in the conductor's `repairs.REPAIRS`, and what that is given; empty when nothing
    does."""
    advice: str = ""
    """Why it is left alone, and what an operator can do."""


Check = Callable[[Tx], Awaitable[Sequence[Finding]]]
"""Looks at one thing and answers every disagreement; its docstring says what must hold."""


def idle(resource_type: str, id_column: str) -> str:
    """SQL: no operation works on, or waits for, the resource; what an operation changes may disagree for a while."""
    return f"""NOT EXISTS (
       SELECT FROM saga.operation o
        WHERE o.resource_type = '{resource_type}' AND o.resource_id = {id_column}::text
          AND o.state IN ('waiting', 'running', 'undoing'))"""


def parked(resource_type: str, id_column: str) -> str:
    """SQL: the id of an operation on the resource that is parked as failed and waits for somebody, or null."""
    return f"""(
       SELECT min(o.id::text) FROM saga.operation o
        WHERE o.resource_type = '{resource_type}' AND o.resource_id = {id_column}::text AND o.state = 'failed'
          AND NOT EXISTS (SELECT FROM saga.acknowledgement k WHERE k.operation_id = o.id))"""

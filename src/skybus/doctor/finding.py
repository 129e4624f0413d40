"""What a check is, and what it finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from skybus.store import Tx


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One disagreement."""

    what: str
    """The thing it is about: `server 0190...`."""
    says: str
    """What disagrees with what."""


Check = Callable[[Tx], Awaitable[Sequence[Finding]]]
"""Looks at one thing and answers every disagreement; its docstring says what must hold."""


def idle(resource_type: str, id_column: str) -> str:
    """SQL: no operation works on, or waits for, the resource; what an operation changes may disagree for a while."""
    return f"""NOT EXISTS (
       SELECT FROM saga.operation o
        WHERE o.resource_type = '{resource_type}' AND o.resource_id = {id_column}::text
          AND o.state IN ('waiting', 'running', 'undoing'))"""

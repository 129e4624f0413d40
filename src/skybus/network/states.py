"""The life of a port: every way from one status to another stands in one table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from skybus.errors import Conflict


class State(StrEnum):
    """A port's status, as the API shows it."""

    DOWN = "DOWN"  # no tap carries it
    ACTIVE = "ACTIVE"  # wired on its host
    ERROR = "ERROR"  # its host could not wire it


class Cause(StrEnum):
    """What may happen to a port."""

    PLUGGED = "plugged"  # its host says that the tap is on the bridge
    UNPLUGGED = "unplugged"  # its host says that nothing of it is left, or it lost its host
    FAILED = "failed"  # its host gave up


MOVES: Mapping[tuple[State, Cause], State] = MappingProxyType(
    {
        (State.DOWN, Cause.PLUGGED): State.ACTIVE,
        (State.DOWN, Cause.UNPLUGGED): State.DOWN,
        (State.DOWN, Cause.FAILED): State.ERROR,
        (State.ACTIVE, Cause.PLUGGED): State.ACTIVE,
        (State.ACTIVE, Cause.UNPLUGGED): State.DOWN,
        (State.ACTIVE, Cause.FAILED): State.ERROR,
        (State.ERROR, Cause.PLUGGED): State.ACTIVE,
        (State.ERROR, Cause.UNPLUGGED): State.DOWN,
        (State.ERROR, Cause.FAILED): State.ERROR,
    }
)


def after(state: State, cause: Cause) -> State:
    """The state that `cause` leads to. Raises Conflict where no way leads."""
    try:
        return MOVES[state, cause]
    except KeyError:
        raise Conflict(f"A port that is {state} cannot be {cause}.") from None

"""A volume's life: every way from one status to another."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from skybus.errors import Conflict


class State(StrEnum):
    """What a volume is; users see it as its status."""

    CREATING = "creating"  # accepted, no storage yet
    AVAILABLE = "available"  # storage exists, no server has it
    ATTACHING = "attaching"  # a server is getting it
    IN_USE = "in-use"  # a server has it
    DETACHING = "detaching"  # a server is losing it
    DELETING = "deleting"  # its storage is being removed
    ERROR = "error"  # creation was given up and undone; only delete leads out
    ERROR_DELETING = "error_deleting"  # removal was given up; deleting again goes on
    DELETED = "deleted"  # terminal; the row stays for who asks what it was


class Cause(StrEnum):
    """What moves a volume. `*_ASKED` is a user's request; the rest is what came of it."""

    MADE = "made"
    MAKE_FAILED = "make-failed"
    ATTACH_ASKED = "attach-asked"
    ATTACHED = "attached"
    ATTACH_FAILED = "attach-failed"
    DETACH_ASKED = "detach-asked"
    DETACHED = "detached"
    DETACH_FAILED = "detach-failed"
    DELETE_ASKED = "delete-asked"
    DELETE_FAILED = "delete-failed"
    DELETED = "deleted"


DELETABLE = (State.AVAILABLE, State.ERROR, State.ERROR_DELETING)

MOVES: Mapping[tuple[State, Cause], State] = MappingProxyType(
    {
        (State.CREATING, Cause.MADE): State.AVAILABLE,
        (State.CREATING, Cause.MAKE_FAILED): State.ERROR,
        (State.AVAILABLE, Cause.ATTACH_ASKED): State.ATTACHING,
        (State.ATTACHING, Cause.ATTACHED): State.IN_USE,
        (State.ATTACHING, Cause.ATTACH_FAILED): State.AVAILABLE,
        (State.IN_USE, Cause.DETACH_ASKED): State.DETACHING,
        (State.DETACHING, Cause.DETACH_FAILED): State.IN_USE,
        # A server that is deleted lets go of its volumes, whatever they were doing.
        **{(state, Cause.DETACHED): State.AVAILABLE for state in (State.ATTACHING, State.IN_USE, State.DETACHING)},
        **{(state, Cause.DELETE_ASKED): State.DELETING for state in DELETABLE},
        (State.DELETING, Cause.DELETE_FAILED): State.ERROR_DELETING,
        (State.DELETING, Cause.DELETED): State.DELETED,
    }
)


def after(state: str, cause: Cause) -> State:
    """The state that `cause` leads to from `state`. Raises Conflict when there is no such way."""
    target = MOVES.get((State(state), cause))
    if target is None:
        raise Conflict(f"A volume in status {state} cannot follow {cause}.", code="volume.state")
    return target

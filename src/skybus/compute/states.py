"""A server's life: every way from one state to another, and what the API shows meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from skybus.errors import Conflict
from skybus.messages.compute import PowerState


class State(StrEnum):
    """What a server is; with the task at hand it makes the status that users see."""

    BUILD = "BUILD"  # accepted, no guest yet
    ACTIVE = "ACTIVE"  # the guest runs
    SHUTOFF = "SHUTOFF"  # the guest is defined and does not run
    ERROR = "ERROR"  # a step gave up; a hard reboot, a stop, a reset or a delete lead out
    DELETED = "DELETED"  # terminal


class Cause(StrEnum):
    """What moves a server. `*_ASKED` is a user's request; the rest is what came of it or what a host noticed."""

    PLACED = "placed"
    UNPLACED = "unplaced"
    WIRED = "wired"
    BOOTED = "booted"
    FAILED = "failed"
    START_ASKED = "start-asked"
    STARTED = "started"
    STOP_ASKED = "stop-asked"
    STOPPED = "stopped"
    REBOOT_ASKED = "reboot-asked"
    HARD_REBOOT_ASKED = "hard-reboot-asked"
    REBOOTED = "rebooted"
    GAVE_UP = "gave-up"
    POWERED_ON = "powered-on"
    POWERED_OFF = "powered-off"
    RESET_ACTIVE = "reset-active"
    RESET_ERROR = "reset-error"
    DELETE_ASKED = "delete-asked"
    DELETED = "deleted"


_LIVE = tuple(state for state in State if state is not State.DELETED)
_BUILT = (State.ACTIVE, State.SHUTOFF, State.ERROR)

MOVES: Mapping[tuple[State, Cause], State] = MappingProxyType(
    {
        # From all live states: an administrator may have reset the state of a server that is being built.
        **{(state, Cause.PLACED): state for state in _LIVE},
        **{(state, Cause.UNPLACED): state for state in _LIVE},
        **{(state, Cause.WIRED): state for state in _LIVE},
        **{(state, Cause.BOOTED): State.ACTIVE for state in _LIVE},
        **{(state, Cause.FAILED): State.ERROR for state in _LIVE},
        (State.SHUTOFF, Cause.START_ASKED): State.SHUTOFF,
        **{(state, Cause.STARTED): State.ACTIVE for state in _BUILT},
        (State.ACTIVE, Cause.STOP_ASKED): State.ACTIVE,
        (State.ERROR, Cause.STOP_ASKED): State.ERROR,
        **{(state, Cause.STOPPED): State.SHUTOFF for state in _BUILT},
        (State.ACTIVE, Cause.REBOOT_ASKED): State.ACTIVE,
        **{(state, Cause.HARD_REBOOT_ASKED): state for state in _BUILT},
        **{(state, Cause.REBOOTED): State.ACTIVE for state in _BUILT},
        **{(state, Cause.GAVE_UP): state for state in _LIVE},
        (State.SHUTOFF, Cause.POWERED_ON): State.ACTIVE,
        (State.ACTIVE, Cause.POWERED_ON): State.ACTIVE,
        (State.ACTIVE, Cause.POWERED_OFF): State.SHUTOFF,
        (State.SHUTOFF, Cause.POWERED_OFF): State.SHUTOFF,
        **{(state, Cause.RESET_ACTIVE): State.ACTIVE for state in _LIVE},
        **{(state, Cause.RESET_ERROR): State.ERROR for state in _LIVE},
        **{(state, Cause.DELETE_ASKED): state for state in _LIVE},
        **{(state, Cause.DELETED): State.DELETED for state in _LIVE},
    }
)

FIRST_TASK = "scheduling"
"""What a server is busy with from its request until it is placed."""

TASKS: Mapping[Cause, str] = MappingProxyType(
    {
        Cause.UNPLACED: FIRST_TASK,
        Cause.PLACED: "networking",
        Cause.WIRED: "spawning",
        Cause.START_ASKED: "powering-on",
        Cause.STOP_ASKED: "powering-off",
        Cause.REBOOT_ASKED: "rebooting",
        Cause.HARD_REBOOT_ASKED: "rebooting_hard",
        Cause.DELETE_ASKED: "deleting",
    }
)
"""What a server is busy with after a cause; a cause that is not here leaves it idle."""

VM_STATES: Mapping[str, str] = MappingProxyType(
    {
        State.BUILD: "building",
        State.ACTIVE: "active",
        State.SHUTOFF: "stopped",
        State.ERROR: "error",
        State.DELETED: "deleted",
    }
)

_REBOOTING: Mapping[str, str] = MappingProxyType({"rebooting": "REBOOT", "rebooting_hard": "HARD_REBOOT"})

POWER_NUMBERS: Mapping[PowerState, int] = MappingProxyType(
    {"absent": 0, "running": 1, "paused": 3, "shutdown": 4, "crashed": 6}
)
"""What a hypervisor says of a guest, as the API's number."""

STATUSES: Mapping[str, tuple[State, str | None]] = MappingProxyType(
    {
        **{state.value: (state, None) for state in State},
        "REBOOT": (State.ACTIVE, "rebooting"),
        "HARD_REBOOT": (State.ACTIVE, "rebooting_hard"),
    }
)
"""Every status that we show, as (state, task); None stands for any task without a status of its own."""

STATUSES_OF_OTHERS = frozenset(
    [
        "MIGRATING",
        "PASSWORD",
        "PAUSED",
        "REBUILD",
        "RESCUE",
        "RESIZE",
        "REVERT_RESIZE",
        "SHELVED",
        "SHELVED_OFFLOADED",
        "SOFT_DELETED",
        "SUSPENDED",
        "UNKNOWN",
        "VERIFY_RESIZE",
    ]
)
"""Statuses that a list may be filtered by, although no server of ours has them."""


def after(state: State, cause: Cause) -> State:
    """The state that `cause` leads to. Raises Conflict when there is no such way out of `state`."""
    moved = MOVES.get((state, cause))
    if moved is None:
        raise Conflict(f"A server whose state is {VM_STATES[state]} cannot be moved by {cause.value!r}.")
    return moved


def status_of(state: str, task_state: str | None) -> str:
    """The status that users see."""
    if task_state is not None and state == State.ACTIVE:
        return _REBOOTING.get(task_state, state)
    return state

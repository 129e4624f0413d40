"""The table of a server's life."""

from __future__ import annotations

import pytest

from skybus.compute.states import MOVES, STATUSES, TASKS, VM_STATES, Cause, State, after, status_of
from skybus.errors import Conflict


def test_nothing_leads_out_of_deleted() -> None:
    assert not [cause for state, cause in MOVES if state is State.DELETED]


def test_every_live_state_may_be_deleted_fail_and_be_reset() -> None:
    for state in set(State) - {State.DELETED}:
        assert after(state, Cause.DELETE_ASKED) is state
        assert after(state, Cause.DELETED) is State.DELETED
        assert after(state, Cause.FAILED) is State.ERROR
        assert after(state, Cause.RESET_ACTIVE) is State.ACTIVE


def test_every_cause_leads_somewhere_and_every_state_has_its_vm_state() -> None:
    assert {cause for _, cause in MOVES} == set(Cause)
    assert set(VM_STATES) == set(State)


def test_what_is_asked_changes_no_state_but_the_task() -> None:
    asked = [cause for cause in Cause if cause.value.endswith("-asked")]
    assert set(asked) < set(TASKS)
    assert all(new is state for (state, cause), new in MOVES.items() if cause in asked)


@pytest.mark.parametrize(
    ("state", "cause"),
    [(State.BUILD, Cause.STOP_ASKED), (State.ACTIVE, Cause.START_ASKED), (State.SHUTOFF, Cause.REBOOT_ASKED)],
)
def test_a_move_that_is_not_in_the_table_is_a_conflict(state: State, cause: Cause) -> None:
    with pytest.raises(Conflict):
        after(state, cause)


def test_a_reboot_shows_in_the_status_of_an_active_server_alone() -> None:
    assert status_of("ACTIVE", "rebooting") == "REBOOT"
    assert status_of("ACTIVE", "rebooting_hard") == "HARD_REBOOT"
    assert status_of("SHUTOFF", "rebooting_hard") == "SHUTOFF"
    assert status_of("ACTIVE", "powering-off") == "ACTIVE"
    for status, (state, task) in STATUSES.items():
        assert status_of(state, task) == status

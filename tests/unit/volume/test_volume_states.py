"""A volume's life is one table."""

from __future__ import annotations

import pytest

from skybus.errors import Conflict
from skybus.volume.states import DELETABLE, MOVES, Cause, State, after


def test_nothing_leads_out_of_deleted() -> None:
    assert not [cause for state, cause in MOVES if state is State.DELETED]


def test_every_state_but_creating_is_reached_and_every_cause_is_used() -> None:
    assert set(MOVES.values()) == set(State) - {State.CREATING}
    assert {cause for _, cause in MOVES} == set(Cause)


def test_only_a_volume_at_rest_is_deleted() -> None:
    for state in State:
        if state in DELETABLE:
            assert after(state, Cause.DELETE_ASKED) is State.DELETING
        else:
            with pytest.raises(Conflict):
                after(state, Cause.DELETE_ASKED)


def test_a_volume_with_a_server_is_not_given_to_another() -> None:
    for state in set(State) - {State.AVAILABLE}:
        with pytest.raises(Conflict):
            after(state, Cause.ATTACH_ASKED)

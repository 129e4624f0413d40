"""`ops/keep`: whoever of the cloud dies comes back by itself, as long as this runs."""

from __future__ import annotations

import time

from . import processes
from .bring_up import Wishes, up
from .shape import Shape
from .state import State
from .trouble import Trouble

LOOK_SECONDS = 1.0
PAUSE_SECONDS = (2.0, 60.0)
"""First and longest pause after a repair that failed."""


def keep(state: State) -> int:
    """Look for dead processes and bring them up, until the cloud is stopped. The exit status."""
    if not state.exists():
        raise Trouble(f"there is no cloud in {state.root}", "`./ops/up` makes one")
    wishes = Wishes(known_shape(state), first_server=False, client=False)
    print(f"Keeping the cloud in {state.root} up; Ctrl-C ends the keeping, not the cloud.", flush=True)
    pause = PAUSE_SECONDS[0]
    while state.exists() and (records := processes.recorded(state)):
        dead = [record.name for record in records if not record.alive()]
        if dead and not repaired(state, wishes, dead):
            time.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS[1])
            continue
        pause = PAUSE_SECONDS[0]
        time.sleep(LOOK_SECONDS)
    print("The cloud was stopped.")
    return 0


def repaired(state: State, wishes: Wishes, dead: list[str]) -> bool:
    """Bring the cloud up; whether that went well. Somebody else's `up` or `down` goes first."""
    print(f"{time.strftime('%X')} dead: {' '.join(dead)}", flush=True)
    try:
        up(state, wishes)
    except Trouble as trouble:
        print(trouble.text(), flush=True)
        return False
    return True


def known_shape(state: State) -> Shape:
    """The form that the cloud was brought up in."""
    facts = state.facts()
    form = facts.get("form", {"real": True, "processes": True})
    return Shape(form["real"], form["processes"], facts.get("hosts", 1), facts.get("gateways", 1))

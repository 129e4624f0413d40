"""`ops/rotate-keys`: new keys for a running cloud, and not one request that fails for it.

A new key is staged first, which verifies and does not sign. When every gateway says in its metrics that it knows it, it
is let sign. Credentials are encrypted anew. A key is deleted when nothing is left that it made: that of tokens not
before the last of its tokens has ended, which a later run does.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.request
from collections.abc import Sequence
from typing import Any

from . import health, processes, venv
from .bring_up import LESS_ENVIRONMENT
from .processes import Record
from .shell import run
from .state import State
from .trouble import Trouble

KINDS = ("tokens", "credentials")
TAKE_UP_SECONDS = 30.0
STEP_SECONDS = 600.0
"""Longest time of one step: credentials may be many."""


def rotate(state: State, kinds: Sequence[str]) -> None:
    """Exchange the keys of `kinds`. Raises Trouble when a process does not take a new key up: nothing was lost then,
    and another run goes on with the same key."""
    if not state.exists():
        raise Trouble(f"there is no cloud in {state.root}", "`./ops/up` makes one")
    with state.locked():
        for kind in kinds:
            rotate_one(state, kind)


def rotate_one(state: State, kind: str) -> None:
    """All steps for one kind."""
    gateways = running_gateways(state)
    number = take(state, kind, "stage")["staged"][0]
    for record in gateways:
        if not health.until(lambda record=record: newest_key(record, kind) >= number, TAKE_UP_SECONDS):
            raise Trouble(
                f"{record.name} has not taken up key {number} of {kind} after {TAKE_UP_SECONDS:.0f} s",
                f"see whether the bus is up (`./ops/status`) and the logs in {state.log}; then run this again",
            )
    did = take(state, kind, "promote", "reseal", "retire")
    print(f"{kind}: key {number} is in use now; {len(gateways)} gateways knew it before.")
    if did["resealed"]:
        print(f"{kind}: {did['resealed']} encrypted anew.")
    if did["failed"]:
        print(f"{kind}: {did['failed']} could not be opened; `skybus keys credentials reseal` says why.")
    for old in did["retired"]:
        print(f"{kind}: key {old} is deleted.")
    for old, until in did["waiting"].items():
        print(f"{kind}: key {old} is needed {until}; a later run deletes it.")


def take(state: State, kind: str, *steps: str) -> dict[str, Any]:
    """What these steps did."""
    said = run(
        [venv.program("skybus"), "keys", kind, *steps], f"skybus keys {kind} {' '.join(steps)}", timeout=STEP_SECONDS,
        env=LESS_ENVIRONMENT | {"SKYBUS_CONFIG": str(state.etc / "skybus.toml")}, cwd=state.root,
    )  # fmt: skip
    did: dict[str, Any] = json.loads(said)
    return did


def running_gateways(state: State) -> list[Record]:
    """Every process that believes tokens. Raises Trouble when there is none, or one of them does not run."""
    gateways = [one for one in processes.recorded(state) if one.name == "all" or one.name.startswith("gateway")]
    dead = [record.name for record in gateways if not record.alive()]
    if dead or not gateways:
        raise Trouble(f"not running: {' '.join(dead) or 'any gateway'}", "`./ops/up` brings it back")
    return gateways


def newest_key(record: Record, kind: str) -> int:
    """The number of the newest key of `kind` that a process knows, as its metrics say; 0 when they do not."""
    try:
        with urllib.request.urlopen(record.health.replace("/healthz", "/metrics"), timeout=5) as answer:
            text = answer.read().decode()
    except (OSError, http.client.HTTPException):
        return 0
    found = re.search(rf'^skybus_identity_newest_key\{{kind="{kind}"\}} ([0-9.]+)$', text, re.MULTILINE)
    return int(float(found.group(1))) if found else 0

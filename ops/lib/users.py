"""Run a program as another user, even when the state folder lies where that user may not go."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from pathlib import Path

from .shell import run, succeeds
from .trouble import Trouble


def argv_as(user: str, argv: Sequence[str | Path]) -> list[str]:
    """`argv` run as `user` with that user's groups alone; as it is when we are no root."""
    words = [str(word) for word in argv]
    if os.geteuid() != 0:
        return words
    who = pwd.getpwnam(user)
    return ["setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups", "--", *words]


def may_reach(user: str, path: Path) -> bool:
    """Whether `user` can pass every folder down to `path`."""
    return succeeds(argv_as(user, ["test", "-x", path]))


def first_of(names: Sequence[str]) -> str:
    """The first user of `names` that this machine has. Raises Trouble when it has none."""
    for name in names:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise Trouble(f"this machine has none of the users {', '.join(names)}", "run as an ordinary user instead of root")


def give(user: str, path: Path) -> None:
    """Make `path` belong to `user`."""
    if os.geteuid() == 0:
        who = pwd.getpwnam(user)
        os.chown(path, who.pw_uid, who.pw_gid)


def need_reach(user: str, path: Path) -> None:
    """Raise Trouble when `user` cannot reach `path`, naming the folder that is closed."""
    if may_reach(user, path):
        return
    closed = next((p for p in [*reversed(path.parents), path] if not may_reach(user, p)), path)
    mode = run(["stat", "-c", "%A %U", closed], f"looking at {closed}").strip()
    raise Trouble(
        f"the user {user} cannot enter {closed} ({mode}), which leads to {path}",
        f"`chmod o+x {closed}`, or keep the cloud elsewhere: SKYBUS_STATE=/var/lib/skybus",
    )
